"""What the page opens with: the answer in three sentences, JEPA against MAE in one figure, and a noisy pair."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.experiments import EXPERIMENTS
from study.experiments.base import Claim
from study.experiments.comparison import ALL, Comparison
from study.experiments.verdict import HOLDS, MEASUREMENT, counted
from study.statistics import interval, spread

COLOURS = {
    "JEPA": "#0b6e99",
    "MAE": "#c4501b",
    "random encoder": "#9b9b9b",
    "principal components": "#c2c2c2",
    "raw pixels": "#666666",
}
PAIRS = 3  # shown
RAW, RANDOM = "raw pixels", "random encoder"


def found(compared: Comparison, claims: Sequence[Claim]) -> str:
    """What was found on samples: numbers, and what the claims say of them."""
    shares = " and ".join(f"{spread(values, 3)} as {name}" for name, values in compared.shares.items())
    text = f"On {compared.samples} with a distractor, its share of what a {compared.network} learns is {shares}"
    if by := compared.probes.get(ALL):
        mean, low, high = interval(by["JEPA"] - by["MAE"])
        reach = f"{low:.1f} to {high:.1f}, 95 % interval of {len(by['JEPA'])} seeds" if np.isfinite(low) else "one seed"
        text += (
            f"; of its features a linear probe reads {by['JEPA'].mean():.1f} % of the test images after JEPA and {by['MAE'].mean():.1f} % "
            f"after MAE, {mean:+.1f} points ({reach})"
        )
        if low <= 0 <= high:
            text += ", which does not tell them apart"
    return f"{text}. {judged(claims)}"


def judged(claims: Sequence[Claim]) -> str:
    """How the claims came out, as a sentence."""
    if outside := next((claim.outside for claim in claims if claim.verdict == MEASUREMENT), ""):
        return f"No claim is judged by it, as {outside} leaves the conditions of the claims."
    if not claims:
        return "No claim was made of it."
    if all(claim.verdict == HOLDS for claim in claims):
        return f"All {len(claims)} claims made of it hold."
    return f"Of the claims made of it {counted(claim.verdict for claim in claims).replace('claims ', '')}."


def limits(compared: Comparison) -> str:
    """Where it stops: baselines, few labels, and what else was not measured."""
    parts = [f"This is of one strength of the distractor ({compared.distractor}) and one length of training"]
    if by := compared.probes.get(ALL):
        others = {name: float(by[name].mean()) for name in (RAW, RANDOM) if name in by}
        best = max(by["JEPA"].mean(), by["MAE"].mean())
        for name, value in others.items():
            better = "more than either encoder" if value >= best else "less than the better of the two"
            parts.append(f"{'the' if name == RAW else 'a'} {name} {'give' if name == RAW else 'gives'} {value:.1f} %, {better}")
    few = [labels for labels in compared.probes if labels != ALL]
    if few:
        by = compared.probes[few[0]]
        raw = f" (raw pixels {by[RAW].mean():.1f} %)" if RAW in by else ""
        parts.append(f"with {few[0]} labels it is {by['JEPA'].mean():.1f} % against {by['MAE'].mean():.1f} %{raw}")
    elif compared.probes:
        parts.append("few labels were not measured in it, which `study run networks` does")
    return "; ".join(parts) + "."


def theory(claims: Iterable[Claim]) -> str:
    """How the theory of linear networks came out."""
    made = [claim for claim in claims if claim.verdict != MEASUREMENT]
    if not made:
        return "No linear network was trained under the conditions of the claims here: `study run linear` does it, in about 10 minutes."
    wrong = list(dict.fromkeys(claim.experiment for claim in made if claim.verdict == "refuted"))
    where = f"; refuted are predictions of {', '.join(wrong)}" if wrong else ""
    return f"In deep linear networks, which the theory is of, {counted(claim.verdict for claim in made)}{where}."


def missing() -> str:
    """In place of what was found on samples."""
    return (
        f"Whether noise is kept out of the features of images was not measured here: `study run pixels` does it "
        f"({EXPERIMENTS['pixels'].expected})."
    )


def figure(compared: Comparison) -> Figure:
    """Shares and probes as bars, a dot per seed."""
    drawn = Figure(figsize=(4.2 + 2.4 * max(1, len(compared.probes)), 3.6), layout="constrained")
    ratios = [1, 0.6 + 0.9 * len(compared.probes)][: 1 + bool(compared.probes)]
    left, *right = drawn.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    _bars(left, {"": compared.shares})
    left.set(ylabel="distractor's share of features", ylim=(0, 1.02))
    for axes in right:
        _bars(axes, {f"{labels} labels": by for labels, by in compared.probes.items()})
        axes.set_ylabel("linear probe, test accuracy (%)")
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return drawn


def _bars(axes: Axes, groups: dict[str, dict[str, Any]]) -> None:
    ticks, at = {}, 0.0
    for group, members in groups.items():
        for name, values in members.items():
            axes.bar(at, values.mean(), color=COLOURS[name], width=0.9, label=f"_{name}")
            axes.plot(np.full(len(values), at), values, "o", color="black", markersize=2.5, label=f"_{name}")
            ticks[at] = name if not group else ""
            at += 1
        if group:
            ticks[at - 1 - (len(members) - 1) / 2] = group
        at += 0.8
    axes.set_xticks([*ticks], [*ticks.values()])
    axes.tick_params(axis="x", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    shown = dict.fromkeys(name for members in groups.values() for name in members)
    for name in shown if "" not in groups else ():
        axes.plot([], [], "s", color=COLOURS[name], label=name)


def pair(compared: Comparison) -> Figure | None:
    """Test samples without noise, and the two views of each, as the networks get them; None where the data cannot be read any
    more, or have no noise."""
    import torch

    from datamodules import SourcePairs
    from study.running.training import data_of

    try:
        data = data_of(compared.data)
        assert isinstance(data, SourcePairs)
        data.setup()
        x, y = data.evaluation("test", 0, 0, PAIRS, torch.device("cpu"))
        clean = data.clean("test", PAIRS)
    except (ValueError, OSError):
        return None
    shape = data.source.shape
    drawn = Figure(figsize=(4.6, 4.4), layout="constrained")
    for row, views in zip(drawn.subplots(PAIRS, 3), zip(clean, x, y, strict=True), strict=True):
        for axes, values in zip(row, views, strict=True):
            _sample(axes, values.reshape(shape).numpy())
    for axes, title in zip(drawn.axes, ("sample", "view x", "view y"), strict=False):
        axes.set_title(title, fontsize=10)
    return drawn


def _sample(axes: Axes, values: np.ndarray) -> None:
    """An image [C, H, W] stretched to its own range, else curves over the last dimension."""
    axes.set_axis_off()
    if values.ndim == 3 and values.shape[0] in (1, 3):
        low, high = np.quantile(values, [0.01, 0.99])
        image = np.clip((values - low) / max(high - low, 1e-12), 0, 1).transpose(1, 2, 0)
        axes.imshow(image.squeeze(), cmap="gray", interpolation="nearest")
    else:
        axes.plot(values.reshape(-1, values.shape[-1]).T if values.ndim > 1 else values, linewidth=0.8)
