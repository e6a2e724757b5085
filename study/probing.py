"""Probe the frozen features of a checkpoint: every tap of every encoder, random and raw-pixel baselines beside, also on few labels."""

import copy
import io
import itertools
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import pandas as pd
import torch
from rich.table import Table as Printed

from datamodules import NoisyPixels, Pairs
from models import Learner
from study import figures, naming, outside
from study.arguments import essence
from study.console import Console
from study.files import count, shown, write
from study.launch.local import device_of
from study.observers.extract import extract
from study.observers.few import DRAWS, NUMBERS
from study.observers.probe import Probe, Sample
from study.running.capacity import free_bytes
from study.running.checkpoint import load
from study.statistics import interval, spread
from study.terminal import say

OURS = ("datamodules.", "models.")
COLUMNS = ["encoder", "tap", "labels", "network", "strength", "validation", "test", "deviation", "n", "mean", "low", "high"]


def read(path: Path, changes: dict[str, Any], trust: Collection[str]) -> tuple[Learner, Learner, NoisyPixels]:
    """The trained learner, the same one untrained, and its data with `changes` to its options.

    Only this project's classes are made, and those of the user's that `trust` names, by their full names.

    Raises:
        ValueError: the file is missing, damaged, not of this project, was not trained on images, names other classes, or
            would take more memory than there is.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint")
    checkpoint = load(path)
    folder = path.absolute().parents[1]
    if (folder / "config.yaml").exists() and checkpoint.get("run") != folder.name:
        raise ValueError(
            f"{path}: is of the run {shown(checkpoint.get('run'))}; give the folder its name back, or give another checkpoint"
        )
    config, weights = checkpoint["config"], checkpoint["state_dict"]
    match config:
        case {"model": {"encoder": {"class_path": str()}, "objective": {"class_path": str()}} as model, "data": dict(data)}:
            pass
        case _:
            raise ValueError(f"{path}: not a configuration of this project, found {shown(config)}")
    trusted = {outside.whole(name) for name in trust}
    for key, name in naming.leaves({"model": model, "data": data}):
        if key != "class_path" and not outside.may_name(name):
            continue
        if not (isinstance(name, str) and (name in trusted or name.startswith(OURS))):
            raise ValueError(
                f"{path}: would run {shown(name)}, which is not of this project; if you trust it, give --trust {name}"
            )
    match data:
        case {"class_path": str(name), "init_args": dict(options)}:
            if not name.endswith("NoisyPixels") and name not in trusted:
                raise ValueError(f"{path}: trained on {shown(name)}; a probe needs labelled images")
        case _:
            raise ValueError(f"{path}: not a configuration of this project, found {shown(data)} as its data")
    # What a checkpoint says must not fetch anything.
    options = options | {"download": False} | changes
    fits(path, model, options, weights)
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Learner, "model")
    parser.add_subclass_arguments(Pairs, "data")
    try:
        described = naming.internal({"model": model, "data": data | {"init_args": options}})
        made = parser.instantiate_classes(parser.parse_object(described))
        trained, images = made["model"], made["data"]
    except (jsonargparse.ArgumentError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: its configuration is impossible: {shown(essence(str(error)))}") from error
    if not isinstance(images, NoisyPixels):
        raise ValueError(f"{path}: trained on {type(images).__name__}; a probe needs labelled images")
    untrained = copy.deepcopy(trained)
    try:
        trained.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path}: its weights are not those of its configuration: {shown(str(error))}") from error
    if options.get("root") is not None and not changes:
        say(f"reading images of {shown(options['root'])}, as {path} says; --images and --root give others")
    return trained, untrained, images


def fits(path: Path, model: dict[str, Any], options: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    """Refuse sizes that are not those of the weights, which are in the file, or data that do not fit into memory, before anything
    of them is made.

    Raises:
        ValueError: names the file.
    """
    match model["encoder"]:
        case {"init_args": {"inputs": inputs, "hidden": list(hidden), "features": features, "seeds": list(seeds)}}:
            widths = [inputs, *hidden, features]
            shapes = {f"encoder.layers.{i}": [len(seeds), b, a] for i, (a, b) in enumerate(itertools.pairwise(widths))}
        case {"init_args": {"shape": list(shape), "seeds": list()}} if all(map(count, shape)):
            inputs, shapes = math.prod(shape), {}
        case found:
            raise ValueError(f"{path}: not a configuration of this project, found {shown(found)} as its encoder")
    for name, shape in shapes.items():
        if name not in weights or list(weights[name].shape) != shape:
            held = list(weights[name].shape) if name in weights else "none"
            raise ValueError(f"{path}: its configuration has weights {shown(shape)} as {name}, its file holds {held}")
    size, directions, sets = options.get("size"), options.get("directions"), options.get("seeds")
    if not (isinstance(size, int) and count(directions) and isinstance(sets, list) and 3 * size**2 == inputs):
        raise ValueError(f"{path}: not a configuration of this project, found images of side {shown(size)} for {inputs} inputs")
    if (needed := len(sets) * 8 * inputs * directions) > free_bytes("cpu"):
        raise ValueError(f"{path}: its data need {needed:,} bytes, and {free_bytes('cpu'):,} are free")


def probe(
    path: Path,
    images: str | None,
    root: Path | None,
    download: bool,
    device: str,
    out: Path | None,
    trust: Collection[str] = (),
) -> pd.DataFrame:
    """Print and save <out>/probe.csv and <out>/probe.png: test accuracy per network, encoder and tap on noisy images.

    Raw pixels and every encoder's features are probed on few labels too: there, validation and test are a network's means over
    draws, and deviation is the test accuracy's standard deviation over them. Columns n, mean, low and high hold the interval of
    the test accuracy over networks. The ridge strength is chosen on the validation split; the test split is read once per encoder.
    """
    changes: dict[str, Any] = {}
    if images is not None:
        changes = {"images": images, "root": None if root is None else str(root), "download": download}
    elif root is not None or download:
        raise ValueError("--root and --download belong to another image source; give --images too")
    trained, untrained, data = read(path, changes, trust)
    data.setup()
    on = torch.device(device_of(device))
    sample = Sample.of(data, Probe().counts, on)
    encoders = {**trained.encoders(), "random": untrained.encoder}
    sources: dict[tuple[str, str], dict[str, torch.Tensor]] = {("pixels", "raw"): sample.views}
    for name, encoder in encoders.items():
        taps = {split: extract(encoder.to(on), x) for split, x in sample.views.items()}
        sources |= {(name, tap): {split: found[tap] for split, found in taps.items()} for tap in encoder.taps}
    parts = []
    for (name, tap), features in sources.items():
        scores = scored(sample, features, NUMBERS if tap in ("raw", "features") else ())
        parts.append(scores.assign(encoder=name, tap=tap))
    table = pd.concat(parts).reindex(columns=COLUMNS)  # of no few labels there is no deviation
    folder = path.parent if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "probe.csv", table.to_csv(index=False))
    picture = io.BytesIO()
    figures.probe(table[table["labels"] == table["labels"].max()]).savefig(picture, format="png", dpi=120)
    write(folder / "probe.png", picture.getvalue())
    show(table, folder, data)
    return table


def scored(sample: Sample, features: dict[str, torch.Tensor], numbers: Sequence[int]) -> pd.DataFrame:
    """One row per number of labels and network, all labels last."""
    ridge = sample.fit(features)
    whole = {"strength": ridge.strength, "validation": ridge.validation, "test": sample.test(ridge, features)}
    few = {labels: vars(found) for labels, found in sample.few(features, numbers).items()}
    parts = []
    for labels, columns in [*few.items(), (len(sample.labels["train"]), whole)]:
        part = (
            pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()}).rename_axis("network").reset_index()
        )
        mean, low, high = interval(part["test"].to_numpy())
        parts.append(part.assign(labels=labels, n=len(part), mean=mean, low=low, high=high))
    return pd.concat(parts).replace([-math.inf, math.inf], math.nan)  # of one network there is no interval


def show(table: pd.DataFrame, folder: Path, data: NoisyPixels) -> None:
    """Print means and intervals over networks."""
    console = Console()
    printed = Printed(
        "encoder", "tap", "labels", "networks", "validation, %", "test, %", "sd over draws",
        title=f"linear probe, noisy {data.source} images",
        caption=f"mean ± 95 % Student interval over networks; few labels: mean of {DRAWS} draws, sd of the test accuracy over them",
    )  # fmt: skip
    for (name, tap, labels), group in table.groupby(["encoder", "tap", "labels"], sort=False):
        cells = [spread(100 * group[split].to_numpy(), 1) for split in ("validation", "test")]
        deviation = group["deviation"].mean()
        last = "" if math.isnan(deviation) else f"{100 * deviation:.1f}"
        printed.add_row(str(name), str(tap), f"{labels:,}", str(len(group)), *cells, last)
    console.print(printed)
    console.print(f"saved: {folder / 'probe.csv'} and {folder / 'probe.png'}")
