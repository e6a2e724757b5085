"""Run an experiment, then write claims and page.

NAME `linear` stands for all experiments on linear networks, at their defaults; one of your own is package.module.Class or
path/to/file.py:Class. `study run NAME --help` lists its options.
"""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.arguments import Parser
from study.commands.common import add_device, add_out, given, print_claims
from study.experiments import EXPERIMENTS, LINEAR, experiment
from study.experiments.base import Experiment, TrainingExperiment
from study.launch.cluster import Cluster, add_options, take_cluster
from study.running import loggers

if TYPE_CHECKING:
    from study.launch.launcher import Launcher

EXAMPLES = ("study run dynamics", "study run pixels --help")


def main(arguments: list[str]) -> int:
    names = ", ".join([*EXPERIMENTS, "linear"])
    if arguments[:1] in (["-h"], ["--help"]):
        parser = Parser(prog="study run", description=__doc__, examples=EXAMPLES)
        parser.add_argument("NAME", help=f"{names}, or path/to/file.py:Class")
        parser.parse_args(["--help"])
    if not arguments or (arguments[0] not in [*EXPERIMENTS, "linear"] and "." not in arguments[0]):
        found = repr(arguments[0]) if arguments else "nothing"
        raise ValueError(f"expected an experiment, found {found}; choose one of: {names}, or path/to/file.py:Class")
    made = [experiment(name) for name in (LINEAR if arguments[0] == "linear" else arguments[:1])]
    options = vars(parser_of(arguments[0], made).parse_args(arguments[1:]))
    out, device, splitting = options.pop("out"), options.pop("device"), options.pop("chunk") == "auto"
    launcher, logging = launcher_of(options.pop("launcher"), splitting, take_cluster(options)), loggers.take_options(options)
    run([(kind, options) for kind in made], out, device, launcher, logging)
    return 0


def parser_of(name: str, made: list[type[Experiment]]) -> Parser:
    """The parser of `study run NAME`, which stands for these experiments."""
    about, example = "All experiments on linear networks, at their defaults.", "--device cpu"
    if len(made) == 1:
        about, example = (inspect.getdoc(made[0]) or "").partition("\n\n")[0], made[0].example
    parser = Parser(
        prog=f"study run {name}",
        description=about,
        examples=(f"study run {name}", f"study run {name} {example}"),
    )
    if len(made) == 1:
        parser.add_class_arguments(made[0], skip={"device", "observers"})
        if issubclass(made[0], TrainingExperiment):
            parser.add_argument(
                "--observers", type=str, nargs="+", default=[], help="further observers, as path/to/file.py:Class"
            )
            loggers.add_options(parser)
    add_out(parser)
    add_device(parser)
    parser.add_argument("--chunk", choices=("auto",), default=None, help="do stacks that exceed the memory in parts")
    parser.add_argument("--launcher", choices=("local", "slurm"), default="local", help="local (this machine) or slurm")
    add_options(parser)
    return parser


def launcher_of(name: str, splitting: bool, cluster: Cluster) -> "Launcher":
    """Raises ValueError: what a cluster needs is missing, or was given without one."""
    from study.launch import local, slurm

    if name == "slurm":
        slurm.check_installed()
        return slurm.Slurm(splitting, cluster)
    if cluster != Cluster():
        raise ValueError("the options of a cluster have no effect on this machine; give --launcher slurm, or leave them out")
    return local.Local(splitting)


def run(
    wanted: list[tuple[type[Experiment], dict[str, Any]]], out: Path, device: str, launcher: "Launcher", logging: dict[str, Any]
) -> None:
    """Run experiments, logged so, then write claims and page from all that is under `out`, and print the claims of these."""
    from study.console import Console
    from study.launch import store
    from study.launch.launcher import perform
    from study.report import board, page, summary

    console = Console()
    device, done = launcher.device(device), set()
    for kind, options in wanted:
        experiment = kind(**options, device=device)
        perform(experiment, launcher, out, given(), console, logging)
        done.add(store.place(experiment, out))
    records = [record for record in page.publish(out) if record.path in done]
    print_claims(summary.claims(records))
    board.write_figures(records, out)
    console.print(f"page: {page.place(out)}")
