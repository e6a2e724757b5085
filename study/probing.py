"""Probe the frozen features of a checkpoint: every tap of every encoder, random and raw-pixel baselines beside, also on few labels."""

import copy
import io
import itertools
import math
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import pandas as pd
import torch

from datamodules import SourcePairs
from datamodules.noise import White
from models import Learner
from study import figures, naming, outside
from study.arguments import essence
from study.choices import NUMBERS
from study.console import Console
from study.files import content, count, shown, write
from study.observers.extract import extract
from study.observers.few import DRAWS
from study.observers.probe import Probe, Sample
from study.running.checkpoint import load, newest
from study.running.device import device_of
from study.running.options import check_sizes
from study.running.training import data_of
from study.screen import rows
from study.sources import named, source
from study.statistics import binomial, interval, spread
from study.terminal import say

OURS = ("datamodules.", "models.")
COLUMNS = [
    "data", "noise", "encoder", "tap", "labels", "network", "strength", "validation", "test", "deviation", "n", "mean", "low", "high",
    "sample_low", "sample_high", "samples", "chance",
]  # fmt: skip


def checkpoint_of(run: Path) -> Path:
    """The newest whole checkpoint of a run's folder; a file is one itself.

    Raises:
        ValueError: there is none.
    """
    if not run.is_dir():
        return run
    path, note = newest(run / "checkpoints")
    if note:
        say(note)
    if path is None:
        raise ValueError(
            f"{run}: no checkpoint in it; give a checkpoint, or the folder of a training whose checkpoints were not removed by `study "
            "clean`"
        )
    return path


def read(
    path: Path, data: str | None, given: dict[str, Any], clean: bool, trust: Collection[str]
) -> tuple[Learner, Learner, SourcePairs]:
    """The trained learner, the same one untrained, and its data: with another source where `data` names one, with the options
    `given`, and without noise where they are to be clean.

    Only this project's classes are made, and those of the user's that `trust` or `data` names, by their full names.

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
        case {"model": {"encoder": {"class_path": str()}, "objective": {"class_path": str()}} as model, "data": dict(of)}:
            pass
        case _:
            raise ValueError(f"{path}: not a configuration of this project, found {shown(config)}")
    trusted = {outside.whole(name) for name in trust}
    for key, name in naming.leaves({"model": model, "data": of}):
        if key != "class_path" and not outside.may_name(name):
            continue
        if not (isinstance(name, str) and (name in trusted or _ours(name))):
            raise ValueError(
                f"{path}: would run {shown(name)}, which is not of this project; if you trust it, give --trust {name}"
            )
    match of:
        case {"class_path": str(name), "init_args": dict(options)}:
            if not name.endswith("SourcePairs") and name not in trusted:
                raise ValueError(f"{path}: trained on {shown(name)}; a probe needs labelled samples")
        case _:
            raise ValueError(f"{path}: not a configuration of this project, found {shown(of)} as its data")
    match options.get("source"):
        case {"init_args": dict(of_source)}:
            pass
        case found:
            raise ValueError(f"{path}: not a configuration of this project, found {shown(found)} as the source of its data")
    if clean:
        options = options | {"noise": None}
    if data is not None:
        kind, root = named(data, given.pop("root", None))
        size = {"size": of_source["size"]} if "size" in of_source and kind != "arrays" else {}
        options = options | {"source": source(kind, size | root | given)}
    elif "download" in of_source:
        of_source["download"] = False  # what a checkpoint says must not fetch anything
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Learner, "model")
    try:
        pairs = data_of(of | {"init_args": options})
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
    if of_source.get("root") is not None and data is None:
        say(f"reading images of {shown(of_source['root'])}, as {path} says; DATA names others")
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
    run: Path,
    data: str | None = None,
    root: Path | None = None,
    download: bool = False,
    clean: bool = False,
    device: str = "auto",
    out: Path | None = None,
    trust: Collection[str] = (),
) -> pd.DataFrame:
    """Print and save, as probe.csv and probe.png in `out`, test accuracy per network, encoder and tap; under a name of its own where
    there is another table already.

    Raw samples and every encoder's features are probed on few labels too: there, validation and test are a network's means over
    draws, and deviation is the test accuracy's standard deviation over them. Columns n, mean, low and high hold the interval of
    the test accuracy over networks, sample_low and sample_high that of one network over test samples. The ridge strength is chosen on
    the validation split; the test split is read once per encoder.
    """
    if data is None and (root is not None or download):
        raise ValueError("--root and --download belong to another image source; give DATA too, such as cifar10")
    path = checkpoint_of(run)
    given: dict[str, Any] = ({} if root is None else {"root": root}) | ({"download": True} if download else {})
    trained, untrained, pairs = read(path, data, given, clean, trust)
    pairs.setup()
    on = torch.device(device_of(device))
    sample = Sample.of(pairs, Probe().counts, on)
    encoders = {**trained.encoders(), "random": untrained.encoder}
    sources: dict[tuple[str, str], dict[str, torch.Tensor]] = {("pixels", "raw"): sample.raw()}
    for name, encoder in encoders.items():
        taps = {split: extract(encoder.to(on), views.all()) for split, views in sample.views.items()}
        sources |= {(name, tap): {split: found[tap] for split, found in taps.items()} for tap in encoder.taps}
    parts = []
    for (encoder_name, tap), features in sources.items():
        scores = scored(sample, features, NUMBERS if tap in ("raw", "features") else ())
        parts.append(scores.assign(encoder=encoder_name, tap=tap))
    noise = "clean" if isinstance(pairs.noise, White) and not pairs.noise.sigma else "noisy"
    found = pd.concat(parts).assign(data=str(pairs.source), noise=noise)
    table = found.reindex(columns=COLUMNS)  # of no few labels there is no deviation
    folder = path.parent if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    written = table.to_csv(index=False)
    name = unused(folder, "-".join(["probe", *([word(data)] if data else []), *(["clean"] if clean else [])]), written)
    write(folder / f"{name}.csv", written)
    picture = io.BytesIO()
    figures.probe(table[table["labels"] == table["labels"].max()]).savefig(picture, format="png", dpi=120)
    write(folder / f"{name}.png", picture.getvalue())
    counts = ", ".join(f"{len(labels):,} {split}" for split, labels in sample.labels.items())
    console = Console()
    console.print(f"linear probe on {noise} samples of {pairs.source}: {counts} samples of {sample.classes} classes")
    for line in lines(table):
        console.print(line)
    console.print(f"saved: {folder / name}.csv and .png")
    return table


def word(data: str) -> str:
    """What a user named, as a part of a file's name."""
    return re.sub(r"\W+", "-", Path(data).stem).strip("-") or "data"


def unused(folder: Path, stem: str, table: str) -> str:
    """The first of stem, stem-2, stem-3 that names no table yet, or this one."""
    names = itertools.chain([stem], (f"{stem}-{i}" for i in itertools.count(2)))
    places = ((name, folder / f"{name}.csv") for name in names)
    return next(name for name, path in places if not os.path.lexists(path) or content(path) == table.encode())


def scored(sample: Sample, features: dict[str, torch.Tensor], numbers: Sequence[int]) -> pd.DataFrame:
    """One row per number of labels and network, all labels last."""
    ridge = sample.fit(features)
    whole = {"strength": ridge.strength, "validation": ridge.validation, "test": sample.test(ridge, features)}
    few = {labels: vars(found) for labels, found in sample.few(features, numbers).items()}
    tested, all_labels = sample.labels["test"], len(sample.labels["train"])
    parts = []
    for labels, columns in [*few.items(), (all_labels, whole)]:
        part = (
            pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()}).rename_axis("network").reset_index()
        )
        mean, low, high = interval(part["test"].to_numpy())
        if labels == all_labels:  # of few it is a mean over draws, and no count
            bounds = [binomial(round(test * len(tested)), len(tested)) for test in part["test"]]
            part["sample_low"], part["sample_high"] = zip(*bounds, strict=True)
        parts.append(part.assign(labels=labels, n=len(part), mean=mean, low=low, high=high))
    chance = float(tested.bincount().max()) / len(tested)
    found = pd.concat(parts).assign(samples=len(tested), chance=chance)
    return found.replace([-math.inf, math.inf], math.nan)  # of one network there is no interval


def lines(table: pd.DataFrame) -> list[str]:
    """The table to be read: means and intervals over networks, or over test samples where there is one network."""
    networks, chance = table["n"].iloc[0], table["chance"].iloc[0]
    pairs = []
    for (name, tap, labels), group in table.groupby(["encoder", "tap", "labels"], sort=False):
        validation, test = (spread(100 * group[split].to_numpy(), 1) for split in ("validation", "test"))
        one = group.iloc[0]
        if networks == 1 and not math.isnan(one["sample_low"]):
            test += f" [{100 * one['sample_low']:.1f}, {100 * one['sample_high']:.1f}]"
        deviation = group["deviation"].mean()
        draws = "" if math.isnan(deviation) else f", sd over draws {100 * deviation:.1f}"
        pairs.append((f"{name} {tap}", f"{labels:,} labels: test {test} %, validation {validation} %{draws}"))
    over = (
        f"{networks} networks" if networks > 1 else f"{table['samples'].iloc[0]:,} test samples of one network (exact binomial)"
    )
    return [
        *rows(pairs),
        f"95 % intervals over {over}; few labels: means of {DRAWS} draws.",
        f"Always the most frequent class: {100 * chance:.1f} %.",
    ]
