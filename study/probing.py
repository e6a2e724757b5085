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

from datamodules import SourcePairs
from models import Learner
from study import figures, naming, outside
from study.arguments import essence
from study.console import Console
from study.files import count, shown, write
from study.launch.local import device_of
from study.observers.extract import extract
from study.observers.few import DRAWS, NUMBERS
from study.observers.probe import Probe, Sample
from study.running.checkpoint import load
from study.running.options import check_sizes
from study.running.training import data_of
from study.sources import source
from study.statistics import interval, spread
from study.terminal import say

OURS = ("datamodules.", "models.")
COLUMNS = ["encoder", "tap", "labels", "network", "strength", "validation", "test", "deviation", "n", "mean", "low", "high"]


def read(path: Path, images: str | None, given: dict[str, Any], trust: Collection[str]) -> tuple[Learner, Learner, SourcePairs]:
    """The trained learner, the same one untrained, and its data, with another source where `images` names one, with the options
    `given`.

    Only this project's classes are made, and those of the user's that `trust` names, by their full names.

    Raises:
        ValueError: the file is missing, damaged, not of this project, was not trained on samples, names other classes, or
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
        if not (isinstance(name, str) and (name in trusted or _ours(name))):
            raise ValueError(
                f"{path}: would run {shown(name)}, which is not of this project; if you trust it, give --trust {name}"
            )
    match data:
        case {"class_path": str(name), "init_args": dict(options)}:
            if not name.endswith("SourcePairs") and name not in trusted:
                raise ValueError(f"{path}: trained on {shown(name)}; a probe needs labelled samples")
        case _:
            raise ValueError(f"{path}: not a configuration of this project, found {shown(data)} as its data")
    match options.get("source"):
        case {"init_args": dict(of_source)}:
            pass
        case found:
            raise ValueError(f"{path}: not a configuration of this project, found {shown(found)} as the source of its data")
    if images is not None:
        size = {"size": of_source["size"]} if "size" in of_source else {}
        options = options | {"source": source(images, size | given)}
    elif "download" in of_source:
        of_source["download"] = False  # what a checkpoint says must not fetch anything
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Learner, "model")
    try:
        pairs = data_of(data | {"init_args": options})
        if not isinstance(pairs, SourcePairs):
            raise ValueError(f"trained on {type(pairs).__name__}; a probe needs labelled samples of a source")
        pairs.attach()
        fits(model, pairs.inputs, weights)
        trained = parser.instantiate_classes(parser.parse_object(naming.internal({"model": model})))["model"]
        check_sizes(trained.encoder, pairs)
    except (jsonargparse.ArgumentError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: its configuration is impossible: {shown(essence(str(error)))}") from error
    untrained = copy.deepcopy(trained)
    try:
        trained.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path}: its weights are not those of its configuration: {shown(str(error))}") from error
    if of_source.get("root") is not None and images is None:
        say(f"reading images of {shown(of_source['root'])}, as {path} says; --images and --root give others")
    return trained, untrained, pairs


def _ours(name: str) -> bool:
    """Whether a class is defined by this program, and not only found there, as what a module of it imports is."""
    if not name.startswith(OURS):
        return False
    try:
        return outside.module_of(name).__name__.startswith(OURS)
    except ValueError:
        return True  # there is none, which the parser says


def fits(model: dict[str, Any], inputs: int, weights: dict[str, torch.Tensor]) -> None:
    """Refuse sizes that are not those of the data or of the weights, which are in the file, before anything of them is made.

    Raises:
        ValueError: names the size.
    """
    match model["encoder"]:
        case {"init_args": {"inputs": takes, "hidden": list(hidden), "features": features, "seeds": list(seeds)}}:
            widths = [takes, *hidden, features]
            shapes = {f"encoder.layers.{i}": [len(seeds), b, a] for i, (a, b) in enumerate(itertools.pairwise(widths))}
        case {"init_args": {"shape": list(shape), "seeds": list()}} if all(map(count, shape)):
            takes, shapes = math.prod(shape), {}
        case found:
            raise ValueError(f"not a configuration of this project, found {shown(found)} as its encoder")
    if takes != inputs:
        raise ValueError(f"its encoder takes {shown(takes)} inputs, and the samples have {inputs}")
    for name, shape in shapes.items():
        if name not in weights or list(weights[name].shape) != shape:
            held = list(weights[name].shape) if name in weights else "none"
            raise ValueError(f"it has weights {shown(shape)} as {name}, its file holds {held}")


def probe(
    path: Path,
    images: str | None = None,
    root: Path | None = None,
    download: bool = False,
    device: str = "auto",
    out: Path | None = None,
    trust: Collection[str] = (),
) -> pd.DataFrame:
    """Print and save <out>/probe.csv and <out>/probe.png: test accuracy per network, encoder and tap on noisy images.

    Raw pixels and every encoder's features are probed on few labels too: there, validation and test are a network's means over
    draws, and deviation is the test accuracy's standard deviation over them. Columns n, mean, low and high hold the interval of
    the test accuracy over networks. The ridge strength is chosen on the validation split; the test split is read once per encoder.
    """
    if images is None and (root is not None or download):
        raise ValueError("--root and --download belong to another image source; give --images too")
    given = ({} if root is None else {"root": str(root)}) | ({"download": True} if download else {})
    trained, untrained, data = read(path, images, given, trust)
    data.setup()
    on = torch.device(device_of(device))
    sample = Sample.of(data, Probe().counts, on)
    encoders = {**trained.encoders(), "random": untrained.encoder}
    sources: dict[tuple[str, str], dict[str, torch.Tensor]] = {("pixels", "raw"): sample.raw()}
    for name, encoder in encoders.items():
        taps = {split: extract(encoder.to(on), views.all()) for split, views in sample.views.items()}
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


def show(table: pd.DataFrame, folder: Path, data: SourcePairs) -> None:
    """Print means and intervals over networks."""
    console = Console()
    printed = Printed(
        "encoder", "tap", "labels", "networks", "validation, %", "test, %", "sd over draws",
        title=f"linear probe, noisy samples of {shown(str(data.source))}",
        caption=f"mean ± 95 % Student interval over networks; few labels: mean of {DRAWS} draws, sd of the test accuracy over them",
    )  # fmt: skip
    for (name, tap, labels), group in table.groupby(["encoder", "tap", "labels"], sort=False):
        cells = [spread(100 * group[split].to_numpy(), 1) for split in ("validation", "test")]
        deviation = group["deviation"].mean()
        last = "" if math.isnan(deviation) else f"{100 * deviation:.1f}"
        printed.add_row(str(name), str(tap), f"{labels:,}", str(len(group)), *cells, last)
    console.print(printed)
    console.print(f"saved: {folder / 'probe.csv'} and {folder / 'probe.png'}")
