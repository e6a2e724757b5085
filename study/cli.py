"""The command `study`. Bad input gives one line and exit code 2; a claim that is refuted gives `study claims` exit code 1."""

import contextlib
import dataclasses
import inspect
import os
import signal
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study import documentation
from study.outside import check_ours
from study.running.signals import Preempted, caught, requeue
from study.terminal import discard, escaped, prepare, say

if TYPE_CHECKING:
    from study.arguments import Parser
    from study.experiments.base import Claim, Experiment
    from study.launch.launcher import Launcher

COMMANDS = (
    "list", "run", "status", "cancel", "fit", "probe", "spectrum", "claims", "report", "board", "reproduce", "bench",
)  # fmt: skip


def parser_of(command: str) -> "Parser":
    from study.arguments import Parser

    return Parser(prog=f"study {command}", description=(globals()[f"study_{command}"].__doc__ or ""), exit_on_error=True)


def add_out(parser: "Parser", device: bool = False) -> None:
    from study.arguments import Folder

    parser.add_argument("--out", type=Folder(), default=Path("runs"), help="folder of results")
    if device:
        parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")


def study_list(arguments: list[str]) -> int:
    """Experiments: claim, runs, expected time."""
    parser_of("list").parse_args(arguments)
    from study.experiments import EXPERIMENTS

    for name, experiment in EXPERIMENTS.items():
        print(f"{name}: {experiment.expected}")
        print("\n".join(f"    {line}" for line in experiment.statement().splitlines()))
    return 0


def study_run(arguments: list[str]) -> int:
    """Run an experiment: study run NAME [options]; study run NAME --help lists its options. NAME `linear` stands for all
    experiments on linear networks, at their defaults; an experiment of your own is package.module.Class or path/to/file.py:Class."""
    from study.arguments import Parser
    from study.experiments import EXPERIMENTS, LINEAR, experiment
    from study.experiments.base import TrainingExperiment
    from study.launch import local, slurm
    from study.launch.cluster import Cluster, add_options, take_cluster
    from study.running import loggers

    names = ", ".join([*EXPERIMENTS, "linear"])
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"usage: study run NAME [options]\n\n{study_run.__doc__}\n\nNAME is one of: {names}")
        return 0
    if not arguments or (arguments[0] not in [*EXPERIMENTS, "linear"] and "." not in arguments[0]):
        found = repr(arguments[0]) if arguments else "nothing"
        raise ValueError(f"expected an experiment, found {found}; choose one of: {names}, or path/to/file.py:Class")
    made = [experiment(name) for name in (LINEAR if arguments[0] == "linear" else arguments[:1])]
    about = inspect.getdoc(made[0]) if len(made) == 1 else "All experiments on linear networks, at their defaults."
    parser = Parser(prog=f"study run {arguments[0]}", description=about, exit_on_error=True)
    if len(made) == 1:
        parser.add_class_arguments(made[0], skip={"device", "observers"})
        if issubclass(made[0], TrainingExperiment):
            parser.add_argument(
                "--observers", type=str, nargs="+", default=[], help="further observers, as path/to/file.py:Class"
            )
            loggers.add_options(parser)
    add_out(parser, device=True)
    parser.add_argument("--launcher", choices=("local", "slurm"), default="local", help="this machine, or a SLURM cluster")
    add_options(parser)
    parser.add_argument("--chunk", choices=("auto",), default=None, help="auto: split stacks that do not fit into memory")
    options = vars(parser.parse_args(arguments[1:]))
    out, choice, splitting = options.pop("out"), options.pop("device"), options.pop("chunk") == "auto"
    on_cluster, cluster, logging = options.pop("launcher") == "slurm", take_cluster(options), loggers.take_options(options)
    launcher: Launcher
    if on_cluster:
        slurm.check_installed()
        launcher = slurm.Slurm(splitting, cluster)
    elif cluster != Cluster():
        raise ValueError("the options of a cluster have no effect on this machine; give --launcher slurm, or leave them out")
    else:
        launcher = local.Local(splitting)
    run_experiments([(kind, options) for kind in made], out, choice, launcher, logging)
    return 0


def study_status(arguments: list[str]) -> int:
    """What became of every run, of one experiment or of all: queued, running, done, failed and why, or unknown
    where the queue of its job cannot be asked."""
    from study.launch.status import STATES, Runs

    parser = parser_of("status")
    parser.add_argument("name", type=str, nargs="?", default=None, help="an experiment; default: all")
    add_out(parser)
    options = parser.parse_args(arguments)
    rows = list(Runs(options.out, options.name))
    for row in rows:
        print(escaped(f"{row.state:<8} {row.run}  {row.note}".rstrip()))
    print(", ".join(f"{sum(row.state == state for row in rows):,} {state}" for state in STATES))
    return 0


def study_cancel(arguments: list[str]) -> int:
    """End the runs that are queued or running, of one experiment or of all; `study run` goes on with them."""
    from study.launch.status import Runs, cancel

    parser = parser_of("cancel")
    parser.add_argument("name", type=str, nargs="?", default=None, help="an experiment; default: all")
    add_out(parser)
    options = parser.parse_args(arguments)
    found = [row for row in Runs(options.out, options.name) if row.state in ("queued", "running", "unknown")]
    beyond = cancel(found)
    for line in beyond:
        say(line)
    print(f"{len(found) - len(beyond)} runs cancelled")
    return int(bool(beyond))


def run_experiments(
    wanted: "list[tuple[type[Experiment], dict]]", out: Path, device: str, launcher: "Launcher", logging: dict[str, Any]
) -> None:
    """Run experiments, logged so, then write claims and page from all that is under `out`."""
    from study.console import Console
    from study.launch import store
    from study.launch.launcher import perform
    from study.report import board, page

    console = Console()
    device, done = launcher.device(device), set()
    for kind, options in wanted:
        experiment = kind(**options, device=device)
        console.print(f"{experiment.name} on {device}: {experiment.expected}")
        perform(experiment, launcher, out, given(), console, logging)
        done.add(store.place(experiment, out))
    found, made = page.publish(out)
    print_claims(made)
    board.write_figures([record for record in found if record.path in done], out)
    console.print(f"page: {page.place(out)}")


def given() -> str:
    """The command, as results keep it."""
    return escaped(" ".join(["study", *sys.argv[1:]]))


def print_claims(made: "list[Claim]") -> None:
    from study.experiments.verdict import REFUTED, counted
    from study.report.texts import number, repetitions

    width, widest = max((len(c.id) for c in made), default=0), max((len(c.verdict) for c in made), default=0)
    for c in made:
        verdict = c.verdict.upper() if c.verdict == REFUTED else c.verdict
        print(f"{verdict:<{widest}}  {c.id:<{width}}  predicted {c.predicted}, measured {number(c.measured)} "
              f"[{number(c.low)}, {number(c.high)}], {repetitions(c)}")  # fmt: skip
    for name, outside in dict.fromkeys((c.experiment, c.outside) for c in made if c.outside):
        print(f"{name} with {outside}: measurements, as that leaves the conditions of the claims")
    print(counted(c.verdict for c in made))


def study_fit(arguments: list[str]) -> int:
    """One Lightning run by LightningCLI: --config FILE, --print_config, --help."""
    from lightning.pytorch.utilities import rank_zero_only

    from study.running.training import StudyCLI, Training

    cli = StudyCLI(arguments)
    result = Training("fit", "run", cli.resolved()).execute(Path("runs"), given())
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        print(f"{result.origin}\nrun: {escaped(result.path)}")
    return 0


def study_probe(arguments: list[str]) -> int:
    """Probe frozen features of a checkpoint: every tap, online and target encoder, random and raw-pixel baselines; the final
    features and the pixels on few labels too."""
    parser = parser_of("probe")
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of `study run` or `study fit`")
    parser.add_argument("--images", type=str | None, default=None, help="probe on this image source instead of the run's own")
    parser.add_argument("--root", type=Path | None, default=None, help="folder of that source")
    parser.add_argument("--download", type=bool, default=False, help="let torchvision download it")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    parser.add_argument("--out", type=Path | None, default=None, help="where to save; default: beside the checkpoint")
    parser.add_argument(
        "--trust", type=str, nargs="+", default=[], help="classes outside this project that the checkpoint may make"
    )
    options = parser.parse_args(arguments)
    from study.probing import probe

    probe(options.checkpoint, options.images, options.root, options.download, options.device, options.out, options.trust)
    return 0


def study_spectrum(arguments: list[str]) -> int:
    """The forecast: what JEPA and MAE will learn of DATA, in which order, and what a probe will read, before anything is trained."""
    from study.arguments import Folder
    from study.forecast.command import spectrum

    parser = parser_of("spectrum")
    parser.add_argument("data", type=str, help="folder of pictures or *.parquet, .npy, .npz, builtin, cifar10, cifar100, stl10")
    parser.add_function_arguments(spectrum, skip={"data", "change"})
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--out", type=Folder(), default=None, help="folder of a page, spectrum.html")
    options = vars(parser.parse_args(arguments))
    as_json, out = options.pop("json"), options.pop("out")
    found = spectrum(**options, change=out is not None)
    if out is not None:
        from study.forecast import page

        say(f"page: {page.save(found, out, given())}")
    if as_json:
        from study.files import strict_json

        print(strict_json(found.as_json()))
    else:
        print("\n".join(map(escaped, found.sentences)))
    return 0


def study_claims(arguments: list[str]) -> int:
    """Every claim with prediction, measurement, interval, verdict, computed from the tables. Exit code 1 if one is refuted, or
    if claims.json says otherwise than the tables."""
    parser = parser_of("claims")
    add_out(parser)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args(arguments)
    from study.experiments.verdict import REFUTED
    from study.launch import store
    from study.report import summary

    made = summary.claims(store.records(options.out))
    if options.json:
        print(store.claims_json(made))
    else:
        print_claims(made)
    differences = store.changed(made, options.out)
    for line in differences:
        say(line)
    return int(bool(differences) or any(c.verdict == REFUTED for c in made))


def study_report(arguments: list[str]) -> int:
    """Write <out>/claims.json and <out>/report/index.html from the results under <out>."""
    parser = parser_of("report")
    add_out(parser)
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    options = parser.parse_args(arguments)
    from study.report import page

    page.publish(options.out)
    print(f"page: {escaped(page.place(options.out))}")
    if options.open:
        show(page.place(options.out).resolve().as_uri())
    return 0


def study_board(arguments: list[str]) -> int:
    """TensorBoard of the runs under <out>, on this machine alone, until Ctrl-C."""
    parser = parser_of("board")
    add_out(parser)
    parser.add_argument("--port", type=int, default=None, help="default: 6006, or the next that is free")
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    options = parser.parse_args(arguments)
    from study.report import board

    with contextlib.suppress(Preempted):
        address = board.serve(options.out, options.port)
        print(f"TensorBoard: {address} (Ctrl-C ends it)", flush=True)
        if options.open:
            show(address)
        signal.pause()
    return 0


def show(address: str) -> None:
    """Open a page in the browser, or say that there is none."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        say(f"no display here to open {address} on")
    elif not webbrowser.open(address):
        say(f"no browser here to open {address} in")


def study_reproduce(arguments: list[str]) -> int:
    """The default suite on built-in data, then the page."""
    parser = parser_of("reproduce")
    add_out(parser, device=True)
    options = parser.parse_args(arguments)
    from study.experiments import EXPERIMENTS
    from study.launch.local import Local

    run_experiments([(EXPERIMENTS[name], {}) for name in ("dynamics", "pixels")], options.out, options.device, Local(), {})
    return 0


def study_bench(arguments: list[str]) -> int:
    """Speed against other ways to do the same work: study bench [NAME]; all of them without a name."""
    parser = parser_of("bench")
    parser.add_argument("name", type=str, nargs="?", default=None, help="stacks, pixels, trainer, observers, times or scaling")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    options = parser.parse_args(arguments)
    from study import bench
    from study.bench.show import show
    from study.console import Console
    from study.files import strict_json
    from study.launch.local import device_of
    from study.running.training import quiet

    quiet()
    device = device_of(options.device)
    chosen = [bench.benchmark(name) for name in ([options.name] if options.name else bench.NAMES)]
    if options.json:
        print(strict_json([dataclasses.asdict(row) for rows in chosen for row in rows(device)]))
    else:
        for rows in chosen:
            show(rows(device), Console(width=None if sys.stdout.isatty() else 180))
    return 0


def on_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread and raises the thread's OSError again in ours, where it is reported."""
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    prepare()
    documentation.restore(sys.modules[__name__])
    threading.excepthook = on_thread_failure
    code, line = carry_out(sys.argv[1:] if arguments is None else arguments)
    if line:
        with contextlib.suppress(OSError):  # where stderr itself cannot be written, only the exit code can tell
            say(line)
    discard()
    return code


def carry_out(arguments: list[str]) -> tuple[int, str]:
    """Carry out a command. Returns the exit code, and where it failed a line that says how."""
    try:
        with caught():
            try:
                code = obey(arguments)
            except SystemExit:  # a parser's, after it has printed the help
                sys.stdout.flush()
                raise
            sys.stdout.flush()
            return code, ""
    except ValueError as error:
        from study.arguments import essence

        return 2, f"error: {essence(str(error))}"
    except (ArithmeticError, ChildProcessError) as error:  # training diverged, or a process of a pool or a job was killed
        return 1, f"stopped: {error}"
    except BrokenPipeError:  # nobody reads the output any more
        return 128 + signal.SIGPIPE, ""
    except OSError as error:  # a full disk, a folder that is read-only
        return 2, f"error: {error.filename or 'output'}: {error.strerror or error}"
    except Preempted as stop:
        requeue(stop.number)
        return 128 + stop.number, f"{stop}; the same command goes on where it stopped"


def obey(arguments: list[str]) -> int:
    check_ours()
    if arguments and arguments[0] in COMMANDS:
        return globals()[f"study_{arguments[0]}"](arguments[1:])
    if arguments[:1] not in ([], ["-h"], ["--help"]):
        raise ValueError(f"unknown command {arguments[0]!r}; choose one of: {', '.join(COMMANDS)}")
    print("usage: study COMMAND [options]\n")
    for name in COMMANDS:
        print(f"  {name:<10} {' '.join((globals()[f'study_{name}'].__doc__ or '').split())}")
    return 0 if arguments else 2


if __name__ == "__main__":
    sys.exit(main())
