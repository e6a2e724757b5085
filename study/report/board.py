"""TensorBoard of what the runs wrote themselves, and beside it the experiments' figures."""

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from study.files import naming

if TYPE_CHECKING:
    from study.launch.store import Record


def write_figures(records: "list[Record]", out: Path) -> None:
    """Replace <out>/<experiment>/figures-<variant>/events.out.tfevents.* by the figures as they are now."""
    from torch.utils.tensorboard import SummaryWriter  # by whom only looks at it, torch is not waited for

    for record in records:
        folder = Path(out) / record.name / f"figures-{record.variant}"
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        with naming(folder), SummaryWriter(folder) as writer:
            for number, (caption, figure) in enumerate(record.experiment().figures(record.results()).items(), 1):
                writer.add_figure(f"{record.name}/figure-{number}", figure)
                writer.add_text(f"{record.name}/figure-{number}", caption)


def runs(out: Path) -> int:
    """How many there are for TensorBoard under `out`."""
    return len({path.parent for path in Path(out).rglob("events.out.tfevents.*")})


def serve(out: Path, port: int | None) -> str:
    """Start TensorBoard of all runs under `out` in a thread of this process, for this machine alone; returns its address.

    Args:
        port: its port, or none for the first that is free from 6006 on.

    Raises:
        ValueError: there is no such folder, or the port is taken.
    """
    if not Path(out).is_dir():
        raise ValueError(f"{out}: no such folder; give --out the folder of results")
    from tensorboard import program

    made = program.TensorBoard()
    where = [] if port is None else ["--port", str(port)]
    made.configure(argv=["tensorboard", "--logdir", str(out), "--host", "127.0.0.1", *where])
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a note of its own on how it reads files
            return made.launch()
    except program.TensorBoardServerException as error:
        raise ValueError(f"TensorBoard cannot start: {' '.join(error.msg.split())}; give another --port") from error
