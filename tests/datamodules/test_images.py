"""Image sources: the built-in bytes, the noise's statistics, and every kind of bad file."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from noisy import load, noisy
from PIL import Image

from datamodules import Moments
from datamodules.decoding import Reading
from datamodules.sources.shapes import CLASSES, shapes

CPU = torch.device("cpu")
CIFAR = Path(os.environ.get("STUDY_CIFAR_PARQUET", Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10"))


def png(seed=0, side=8):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def folder(root, classes=("cat", "dog"), count=10, side=8):
    for c, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.png").write_bytes(png(100 * c + i, side))
    return root


def parquet(root, side=8, count=20, **columns):
    root.mkdir(exist_ok=True)
    for split in ("train", "test"):
        table = {
            "img": [{"bytes": png(i, side), "path": f"{i}.png"} for i in range(count)],
            "label": [i % 2 for i in range(count)],
            **columns,
        }
        pq.write_table(pa.table({k: v for k, v in table.items() if v is not None}), root / f"{split}.parquet")
    return root


def test_built_in_images_have_the_same_bytes_everywhere():
    images, labels = shapes(40)
    assert labels.tolist() == [i % 10 for i in range(40)]
    assert (
        hashlib.sha256(images.numpy().tobytes()).hexdigest()
        == "15c759e759fb414f580191c710006a9618ee36ba38b0ddb309b08d5e57572224"
    )
    torch.testing.assert_close(shapes(10, first=17)[0], images[17:27], rtol=0, atol=0)
    assert not torch.equal(shapes(10, seed=1)[0], images[:10])


def test_class_is_not_readable_from_the_mean_colour():
    """A quadratic classifier on the mean colour stays at chance; a linear one on pixels does not."""
    images, labels = shapes(6000)
    colour = images.double().mean((2, 3)) / 128 - 1
    quadratic = torch.cat([colour, colour**2, colour[:, [0]] * colour[:, [1]], colour[:, [1]] * colour[:, [2]]], 1)
    pixels = torch.nn.functional.avg_pool2d(images.double(), 4).flatten(1) / 128 - 1

    def accuracy(f):
        f = torch.cat([f, torch.ones(len(f), 1, dtype=f.dtype)], 1)
        targets = torch.nn.functional.one_hot(labels, len(CLASSES)).double()
        w = torch.linalg.lstsq(f[:4000], targets[:4000]).solution
        return float(((f[4000:] @ w).argmax(1) == labels[4000:]).double().mean())

    assert accuracy(quadratic) < 0.1 + 4 * (0.1 * 0.9 / 2000) ** 0.5
    assert accuracy(pixels) > 0.3


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = folder(tmp_path_factory.mktemp("images"), count=40)
    data = noisy("folder", root, size=4, directions=5, amplitude=3.0, gamma=0.4, sigma=0.2, seeds=[0, 7], batch=4000)
    data.setup()
    return data


def test_noise_has_the_stated_covariance_and_rho(pairs):
    """Subtracting the pairs' own images is not possible from outside, so compare with the exact moments, per seed."""
    for s, exact in enumerate(pairs.moments()):
        batches = (pairs.pairs(u, CPU) for u in range(25))
        measured = Moments.stream((b.x.values[s], b.y.values[s]) for b in batches)
        scale = float(exact.Sxx.diagonal().mean())
        for name in ("Sxx", "Syx", "Syy"):
            torch.testing.assert_close(getattr(measured, name), getattr(exact, name), rtol=0, atol=0.05 * scale)
        D = pairs.noise.D_SdK[s].double()
        torch.testing.assert_close(D.T @ D, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-5)
        images = torch.einsum("nd,dk->nk", pairs.clean("train").double(), D).square().mean(0)
        torch.testing.assert_close((D.T @ exact.Syx @ D).diagonal(), 0.4 * 9 + images, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close((D.T @ exact.Sxx @ D).diagonal(), 9 + 0.04 + images, rtol=1e-4, atol=1e-4)


def test_batches_depend_on_seed_and_update_alone(pairs):
    first, again, other = pairs.pairs(3, CPU), pairs.pairs(3, CPU), pairs.pairs(4, CPU)
    assert torch.equal(first.x.values, again.x.values)
    assert not torch.equal(first.x.values, other.x.values)
    assert not torch.equal(first.x.values[0], first.x.values[1])
    x, _ = pairs.evaluation("test", 1, 0, 9, CPU)
    part, _ = pairs.evaluation("test", 1, 4, 9, CPU)
    torch.testing.assert_close(x[4:], part)


def test_one_seed_of_many_equals_that_seed_alone(pairs):
    alone = noisy("folder", pairs.source.root, size=4, directions=5, amplitude=3.0, gamma=0.4, sigma=0.2, seeds=[7], batch=4000)
    alone.setup()
    torch.testing.assert_close(alone.pairs(3, CPU).y.values[0], pairs.pairs(3, CPU).y.values[1], rtol=1e-5, atol=1e-6)


def test_flip_mirrors_both_views_and_the_moments(tmp_path):
    root = folder(tmp_path)
    data = noisy("folder", root, size=4, directions=1, amplitude=0.0, sigma=1e-4, flip=True, batch=4000)
    data.setup()
    batch = data.pairs(0, CPU)
    torch.testing.assert_close(batch.x.values, batch.y.values, rtol=0, atol=1e-2)
    (exact,) = data.moments()
    measured = Moments.stream((b.x.values[0], b.y.values[0]) for b in (data.pairs(u, CPU) for u in range(10)))
    torch.testing.assert_close(measured.Sxx, exact.Sxx, rtol=0, atol=0.05)


def test_folder_with_splits_and_parquet_agree_with_their_files(tmp_path):
    whole = noisy("folder", folder(tmp_path / "a"), size=4, directions=1)
    whole.setup()
    counts = {name: len(whole.labels(name)) for name in ("train", "validation", "test")}
    assert counts["train"] + counts["validation"] == 16  # of 20, where there is no test split
    assert counts["test"] == 4
    folder(tmp_path / "b" / "train")
    folder(tmp_path / "b" / "test", count=3)
    split = load("folder", tmp_path / "b", reading=Reading(8))
    assert split["train"].labels.bincount().tolist() == [10, 10]
    decoded = np.array(Image.open(tmp_path / "b" / "test" / "dog" / "2.png"))
    assert np.array_equal(split["test"].values[5].permute(1, 2, 0), decoded)
    table = load("parquet", parquet(tmp_path / "c"))
    assert table["train"].labels.tolist() == [0, 1] * 10


def broken_folder(tmp_path, change):
    root = folder(tmp_path / "broken")
    change(root)
    return root


BAD = {
    "no such folder": (lambda p: load("folder", p / "nowhere"), "nowhere: no such folder"),
    "no root": (lambda p: load("parquet"), "images parquet need root; give --root"),
    "no classes": (lambda p: load("folder", p), "no images; expected .* in one sub-folder per class"),
    "empty class": (lambda p: load("folder", broken_folder(p, lambda r: (r / "eel").mkdir())), "eel: no images"),
    "undecodable": (
        lambda p: load("folder", broken_folder(p, lambda r: (r / "cat" / "x.png").write_bytes(b"nonsense"))), "x.png: cannot be"),
    "empty file": (lambda p: load("folder", broken_folder(p, lambda r: (r / "cat" / "x.png").write_bytes(b""))), "x.png: cannot be"),
    "half a file": (
        lambda p: load("folder", broken_folder(p, lambda r: (r / "cat" / "x.png").write_bytes(png()[:60]))), "x.png: cannot be"),
    "no parquet": (lambda p: load("parquet", p), "no train.*parquet"),
    "no label": (lambda p: load("parquet", parquet(p, label=None)), "train.parquet: has columns img; expected img and label"),
    "wrong image column": (lambda p: load("parquet", parquet(p, img=["a"] * 20)), "column img is"),
    "wrong label column": (lambda p: load("parquet", parquet(p, label=["a"] * 20)), "column label is"),
    "missing labels": (lambda p: load("parquet", parquet(p, label=[None, *[1] * 19])), "missing or negative"),
    "undecodable row": (
        lambda p: load("parquet", parquet(p, img=[{"bytes": b"x", "path": ""}] * 20)), "train.parquet row 0: cannot be decoded"),
    "half a parquet": (
        lambda p: ((parquet(p) / "train.parquet").write_bytes((p / "train.parquet").read_bytes()[:500]), load("parquet", p)),
        "train.parquet: not a readable parquet"),
    "no cifar": (lambda p: load("cifar10", p), "cifar10 is missing or incomplete.*--download"),
    "unknown source": (lambda p: load("imagenet", p), "choose one of builtin"),
    "gamma": (lambda p: noisy(gamma=1.5), r"gamma must lie in \[0, 1\], found 1.5"),
    "too many directions": (lambda p: noisy(size=2, directions=13).setup(), "directions must be from 1 to 12"),
    "amplitude": (lambda p: noisy(amplitude=-1.0), "amplitude"),
    "sigma": (lambda p: noisy(sigma=-0.1), "sigma must be finite and not negative"),
    "size does not divide": (lambda p: noisy(size=3, directions=2).setup(), "must divide"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case, tmp_path):
    act, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        act(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not (CIFAR / "train.parquet").exists(), reason="CIFAR-10 as parquet is not at hand (STUDY_CIFAR_PARQUET)")
def test_real_cifar10_parquet():
    splits = load("parquet", CIFAR, reading=Reading(32))
    assert splits["train"].values.shape == (50_000, 3, 32, 32)
    assert splits["test"].labels.bincount().tolist() == [1000] * 10
    means = splits["train"].values.float().mean((0, 2, 3)) / 255
    torch.testing.assert_close(means, torch.tensor([0.4913, 0.4821, 0.4465]), rtol=0, atol=1e-3)
