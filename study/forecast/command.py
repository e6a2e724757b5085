"""The forecast of what a user names, as a function of Python and as the command `study spectrum`."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.choices import NUMBERS, Device, Kind, Pairings

if TYPE_CHECKING:  # what computes takes seconds to import, which a help need not wait for
    from datamodules import SourcePairs
    from study.forecast.data import Asked
    from study.forecast.forecast import Forecast


def spectrum(
    data: str | Path,
    pairing: Pairings = "noise",
    k: int | None = None,
    depth: int = 3,
    labels: Sequence[int] = NUMBERS,
    updates: int = 1200,
    size: int | None = None,
    root: Path | None = None,
    download: bool = False,
    window: int | None = None,
    step: int | None = None,
    lag: int = 1,
    patch: int | None = None,
    ratio: float = 0.75,
    smallest: float = 0.7,
    kind: Kind = "global",
    directions: int | None = None,
    amplitude: float | None = None,
    gamma: float = 0.4,
    sigma: float | None = None,
    count: int = 100_000,
    seed: int = 0,
    change: bool = False,
    lift: Any = None,  # str or models.Encoder, which a help need not import
    widths: Sequence[int] = (64, 64),
    device: Device = "auto",
    train: bool = False,
) -> "Forecast":
    """What JEPA and MAE will learn of pairs, in which order, and what a linear probe will read, before anything is trained.

        >>> from study import spectrum
        >>> found = spectrum("builtin", size=8, count=3000, directions=20, updates=0)
        >>> found.verdict
        'neither'
        >>> gap, low, high = found.rows[0].gap()  # JEPA - MAE with 100 labels, and 95 % of it
        >>> low > 0
        True

    Args:
        data: a folder of pictures or of *.parquet, a .npy file, a .npz file with x (and y, the other view of each, or labels), or one of
            builtin, cifar10, cifar100, stl10.
        pairing: noise (two noisy views), crop, mask (visible and hidden patches), frames (of a sub-folder or group), lag (windows of
            a recording) or neighbours (patches of one picture).
        k: features; default: 64, or half the dimensions.
        depth: layers of the linear encoder.
        labels: numbers of labels of the probe, beside all.
        updates: of the training that is forecast; 0: its end alone.
        size: side of pictures; default: 16, neighbours 224.
        root: folder of cifar10, cifar100 or stl10.
        download: let torchvision download it.
        window: length of a window of recordings, in time steps.
        step: time steps from window to window; default: window.
        lag: of frames and lag, samples from x to y.
        patch: side of a patch; default: mask 4, neighbours 16.
        ratio: of mask, share of the patches that is hidden.
        smallest: of crop, smallest share of a picture.
        kind: of the distractor: global, patch or smooth.
        directions: default: 128, or a sixth of the inputs.
        amplitude: its standard deviation; default: noise 14, else 0.
        gamma: its correlation between the views.
        sigma: of white noise; default: noise 0.05, else 0.
        count: pairs at most.
        seed: of noise, crops and initial weights.
        change: forecast the end states under other amplitudes and correlations of the distractor too, as the page does.
        lift: forecast end states behind a frozen network too: random for the convolution that would be trained, as it starts, timm:NAME
            for a network of timm with its published weights, or in Python any models.Encoder.
        widths: of the random network.
        device: of a frozen network that is named: auto, cpu or cuda.
        train: train small networks on the pairs too, linear and ReLU ones by JEPA and MAE.

    Raises:
        ValueError: one line: no such data, or an option that is impossible for them.
    """
    from study.forecast import forecast, frozen
    from study.forecast.data import Asked
    from study.forecast.timed import Training
    from study.running.device import device_of

    asked = Asked(
        pairing, size, root, download, window, step, lag, patch, ratio, smallest, kind, directions, amplitude, gamma, sigma, count, seed
    )  # fmt: skip
    if updates < 0:
        raise ValueError(f"updates must be 0 or more, found {updates}")
    if depth < 1:
        raise ValueError(f"depth must be at least 1, found {depth}")
    pairs = asked.pairs(data)
    eps = 0.6**depth
    training = Training(depth, eps, rates=(), updates=updates, seed=seed) if updates else None
    on = device_of(device)
    network = None if lift is None else frozen.named(lift, pairs.source.shape, seed, widths, on)
    found = forecast.spectrum(pairs, k, depth, eps, labels, training, change=change, lift=network, train=train)
    return replace(found, about=described(str(data), pairs, asked))


def _shared(asked: "Asked") -> str:
    """A warning where both windows of a pair have times in common."""
    if not asked.window or (shared := asked.window - asked.after) <= 0:
        return ""
    apart = -(-asked.window // (asked.step or asked.window))
    return f" and has {shared} of them in common with it, which copying predicts, noise too (--lag {apart} for none)"


def described(data: str, pairs: "SourcePairs", asked: "Asked") -> str:
    """Which pairs the forecast is of."""
    from datamodules.messages import printable
    from datamodules.noise import Distractor, White
    from datamodules.sources import Paired

    how = {
        "noise": "x and y as given, each centred" if isinstance(pairs.source, Paired) else "two noisy views of one sample",
        "crop": f"two crops of at least {asked.smallest:.0%} of a picture",
        "mask": ""
        if pairs.mask is None
        else f"{pairs.mask.patches - pairs.mask.hidden} visible patches and {pairs.mask.hidden} hidden ones",
        "frames": f"samples of one recording, {asked.lag} apart",
        "lag": f"windows of {asked.window} time steps, of which y starts {asked.after} after x{_shared(asked)}",
        "neighbours": f"neighbouring patches of {math.prod(pairs.source.shape[1:])} pixels",
    }[asked.pairing]
    noise, parts = pairs.noise, list[str]()
    if isinstance(noise, Distractor) and noise.amplitude:
        parts.append(f"a {noise.kind} distractor of {noise.K} directions, amplitude {noise.amplitude:g}, gamma {noise.gamma:g}")
    if isinstance(noise, White) and noise.sigma:
        parts.append(f"independent noise of {noise.sigma:g}")
    added = f", with {' and '.join(parts)} added" if parts else ""
    return f"{printable(data)}: {len(pairs.blocks(1)[0]):,} pairs, {how}{added}, of {pairs.inputs:,} numbers each."
