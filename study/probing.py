"""Probe the frozen features of a checkpoint: every tap of every encoder, with random and raw-pixel baselines beside."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.table import Table as Printed

from datamodules import NoisyPixels
from models import Learner
from study.console import Console
from study.observers.extract import extract
from study.observers.probe import Probe, Sample
from study.report import figures
from study.running.checkpoint import damage
from study.running.files import write
from study.running.local import device_of
from study.running.training import StudyCLI


def read(path: Path, changes: dict[str, Any]) -> tuple[Learner, Learner, NoisyPixels]:
    """The trained learner, the same one untrained, and its data with `changes` to its options.

    Raises:
        ValueError: the file is missing, damaged, not of this project, or was not trained on images.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    if wrong := damage(path):
        raise ValueError(f"{path}: not a readable checkpoint of this project: {wrong}; previous.ckpt beside it may be whole")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        config = checkpoint["config"]
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a readable checkpoint of this project ({type(error).__name__})") from error
    if (path.absolute().parents[1] / "config.yaml").exists() and checkpoint["run"] != path.absolute().parents[1].name:
        raise ValueError(
            f"{path}: is of the run {checkpoint['run']!r}; give the folder its name back, or give another checkpoint"
        )
    if not config["data"]["class_path"].endswith("NoisyPixels"):
        raise ValueError(f"{path}: trained on {config['data']['class_path']}; a probe needs labelled images")
    config["data"]["init_args"] |= changes
    config["trainer"] = {"accelerator": "cpu"}  # nothing is made that a probe does not use
    _, trained, data = StudyCLI(config).build()
    assert isinstance(data, NoisyPixels)
    untrained = copy.deepcopy(trained)
    trained.load_state_dict(checkpoint["state_dict"])
    return trained, untrained, data


def probe(path: Path, images: str | None, root: Path | None, download: bool, device: str, out: Path | None) -> pd.DataFrame:
    """Print and save <out>/probe.csv and <out>/probe.png: test accuracy per network, encoder and tap on noisy images.

    The ridge strength is chosen on the validation split; the test split is read once per row.
    """
    changes: dict[str, Any] = {}
    if images is not None:
        changes = {"images": images, "root": None if root is None else str(root), "download": download}
    elif root is not None or download:
        raise ValueError("--root and --download belong to another image source; give --images too")
    trained, untrained, data = read(path, changes)
    data.setup()
    on = torch.device(device_of(device))
    sample = Sample.of(data, Probe().counts, on)
    encoders = {**trained.encoders(), "random": untrained.encoder}
    rows = []
    sources: dict[tuple[str, str], dict[str, torch.Tensor]] = {("pixels", "raw"): sample.views}
    for name, encoder in encoders.items():
        taps = {split: extract(encoder.to(on), x) for split, x in sample.views.items()}
        sources |= {(name, tap): {split: found[tap] for split, found in taps.items()} for tap in encoder.taps}
    for (name, tap), features in sources.items():
        ridge = sample.fit(features)
        test = ridge.accuracy(features["test"], sample.labels["test"])
        for n in range(len(test)):
            scores = {"validation": float(ridge.validation[n]), "test": float(test[n])}
            rows.append({"encoder": name, "tap": tap, "network": n, "strength": float(ridge.strength[n]), **scores})
    table = pd.DataFrame(rows)
    folder = path.parent if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "probe.csv", table.to_csv(index=False))
    picture = io.BytesIO()
    figures.probe(table).savefig(picture, format="png", dpi=120)
    write(folder / "probe.png", picture.getvalue())
    show(table, folder, data)
    return table


def show(table: pd.DataFrame, folder: Path, data: NoisyPixels) -> None:
    """Print the mean over networks."""
    console = Console()
    printed = Printed(
        "encoder", "tap", "networks", "validation, %", "test, %", title=f"linear probe, noisy {data.source} images"
    )
    for (name, tap), group in table.groupby(["encoder", "tap"], sort=False):
        cells = [f"{100 * group[split].mean():.1f}" for split in ("validation", "test")]
        printed.add_row(str(name), str(tap), str(len(group)), *cells)
    console.print(printed)
    console.print(f"saved: {folder / 'probe.csv'} and {folder / 'probe.png'}")
