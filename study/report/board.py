"""The experiments' figures in TensorBoard, beside the scalars that the runs wrote themselves."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from study.files import naming
from study.launch.store import Record


def write_figures(records: list[Record], out: Path) -> None:
    """Replace <out>/<experiment>/figures-<variant>/events.out.tfevents.* by the figures as they are now."""
    for record in records:
        folder = Path(out) / record.name / f"figures-{record.variant}"
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        with naming(folder), SummaryWriter(folder) as writer:
            for number, (caption, figure) in enumerate(record.experiment().figures(record.results()).items(), 1):
                writer.add_figure(f"{record.name}/figure-{number}", figure)
                writer.add_text(f"{record.name}/figure-{number}", caption)
