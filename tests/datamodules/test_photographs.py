"""Photographs as they come: of any size, some of them damaged or huge, without classes."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy import load, noisy
from PIL import Image

from datamodules import reading
from datamodules.decoding import MOST_PIXELS, Reading, decode
from datamodules.sizes import fitted
from datamodules.sources import Folder


def photograph(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def album(root, *sizes, classes=("cat", "dog")):
    """A folder of two classes, in each a picture of each size."""
    for c, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i, size in enumerate(sizes):
            Image.fromarray(photograph(*size, 100 * c + i)).save(root / name / f"{i:03}.png")
    return root


def spoilt(root, count, of):
    """An album of `of` pictures of which the first are no pictures."""
    album(root, *[(8, 8)] * (of // 2))
    for path in sorted(root.rglob("*.png"))[::2][:count]:
        path.write_bytes(b"nonsense")
    return root


def said(capsys):
    return [line.removeprefix("study: ") for line in capsys.readouterr().err.splitlines()]


def means(picture, size):
    """Of equal squares, in exact arithmetic, rounded half to even."""
    side = len(picture) // size
    return np.rint(picture.astype(int).reshape(size, side, size, side, 3).sum((1, 3)) / side**2).astype(np.uint8)


def pixels(picture, size):
    found = []
    return fitted(picture, size, found).permute(1, 2, 0).numpy(), found


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_square_whose_side_size_divides_is_averaged_exactly_and_nothing_is_said(size, factor, seed):
    picture = photograph(size * factor, size * factor, seed)
    made, found = pixels(picture, size)
    assert found == [] and np.array_equal(made, means(picture, size))


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 20), st.booleans(), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_of_a_longer_picture_the_middle_is_averaged(size, factor, more, tall, seed):
    side = size * factor
    picture = photograph(side + 2 * more, side, seed)
    expected = means(picture[:, more:-more], size).astype(int)
    made, found = pixels(picture.swapaxes(0, 1) if tall else picture, size)
    made = made.swapaxes(0, 1) if tall else made
    assert np.abs(made - expected).max() <= 1  # Pillow rounds after each direction
    assert found == [f"are reduced to {size} x {size} pixels by resizing and cropping"]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_every_shape_becomes_a_square_that_neither_overshoots_nor_shifts_a_colour(width, height, size, colour):
    picture = np.full((height, width, 3), colour, np.uint8)
    made, found = pixels(picture, size)
    assert made.shape == (size, size, 3) and (made == colour).all()
    smaller, plain = min(width, height) < size, width == height and width % size == 0
    assert ["enlarged" in line for line in found] == ([] if plain else [smaller])


def test_reduction_suppresses_what_size_cannot_show():
    """Stripes of a period of two pixels become grey, where taking every so manieth pixel would keep them."""
    stripes = np.zeros((50, 70, 3), np.uint8)
    stripes[:, ::2] = 255
    made, _ = pixels(stripes, 5)
    assert np.abs(made.astype(int) - 127).max() <= 13  # of 10 pixels' mean, one stripe more or less is 25


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_pictures_of_all_sizes_are_read_and_their_changes_counted(tmp_path, capsys, source):
    sizes = [(8, 8), (16, 16), (20, 16), (16, 30), (9, 9), (3, 3), (3, 5)]
    root = album(tmp_path / "album", *sizes)
    if source == "parquet":
        files = sorted(root.rglob("*.png"))
        table = {"img": [{"bytes": p.read_bytes()} for p in files], "label": [int(p.parent.name == "dog") for p in files]}
        root = tmp_path / "tables"
        root.mkdir()
        for split in ("train", "test"):
            pq.write_table(pa.table(table), root / f"{split}.parquet")
    times = 2 if source == "folder" else 4
    loaded = load(source, root, reading=Reading(4))
    assert {split.values.shape[1:] for split in loaded.values()} == {(3, 4, 4)}
    total = 7 * times
    assert sorted(said(capsys)) == sorted(
        f"{count} of {total} images in {root} are {change}"
        for count, change in (
            (2 * times, "reduced to 4 x 4 pixels by resizing and cropping"),
            (times, "reduced to 4 x 4 pixels by resizing"),
            (times, "enlarged to 4 x 4 pixels by resizing"),
            (times, "enlarged to 4 x 4 pixels by resizing and cropping"),
        )
    )


def test_a_picture_is_the_same_beside_pictures_of_other_sizes(tmp_path):
    alone = load("folder", album(tmp_path / "one", *[(8, 8)] * 5), reading=Reading(4))
    mixed = load("folder", album(tmp_path / "two", *[(8, 8)] * 5, (9, 7)), reading=Reading(4))
    known = {image.numpy().tobytes() for split in alone.values() for image in split.values}
    found = {image.numpy().tobytes() for split in mixed.values() for image in split.values}
    assert known < found and len(found) == 12


def test_a_picture_is_turned_before_it_is_cropped(tmp_path):
    picture, exif = photograph(8, 4), Image.Exif()
    exif[0x0112] = 6
    root = album(tmp_path, *[(4, 4)] * 5)
    Image.fromarray(picture).save(root / "cat" / "turned.png", exif=exif)
    loaded = load("folder", root, reading=Reading(4))
    expected = np.rot90(picture[:, 2:6], -1)
    assert any(np.array_equal(image.permute(1, 2, 0), expected) for split in loaded.values() for image in split.values)


def test_no_more_than_one_picture_lies_in_memory_in_full(tmp_path, monkeypatch):
    """80 pictures of 1000 x 1000 pixels are 240 MB."""
    picture = tmp_path / "0.bmp"
    Image.new("RGB", (1000, 1000)).save(picture)
    for i in range(1, 80):
        os.link(picture, tmp_path / f"{i}.bmp")
    used = [psutil.Process().memory_info().rss]

    def watched(*args):
        made = decode(*args)
        used.append(psutil.Process().memory_info().rss)
        return made

    monkeypatch.setattr(reading, "decode", watched)
    load("folder", tmp_path)
    assert len(used) == 81 and max(used) - used[0] < 80e6


def test_a_bad_file_is_refused_and_the_share_that_the_refusal_names_is_enough(tmp_path, capsys):
    root = spoilt(tmp_path, 3, of=22)
    with pytest.raises(
        ValueError, match=rf"^{root}/cat/00[024].png: cannot be decoded .of none of these kinds.* 3 of 22 images are bad"
    ) as caught:
        load("folder", root)
    share = float(str(caught.value).split("--bad-files ")[1].split()[0])
    assert said(capsys) == []
    kept = load("folder", root, reading=Reading(8, bad_files=share))
    assert sum(len(split.values) for split in kept.values()) == sum(len(split.labels) for split in kept.values()) == 19


@given(st.integers(1, 10**6), st.data())
def test_a_named_share_is_enough_for_every_count(total, data):
    from datamodules.reading import _enough

    bad = data.draw(st.integers(1, total))
    option = _enough(bad, total)
    assert (float(option.split("--bad-files ")[1].split()[0]) >= bad / total) if option else bad / total > 0.9999


def test_bad_files_within_the_share_are_left_out_named_and_counted(tmp_path, capsys):
    root = spoilt(tmp_path, 5, of=40)
    kept = load("folder", root, reading=Reading(8, bad_files=0.125))
    lines = said(capsys)
    assert {line.split(":")[0] for line in lines[:3]} < {str(root / "cat" / f"{i:03}.png") for i in (0, 2, 4, 6, 8)}
    assert all(line.endswith("; left out") for line in lines[:3])
    assert lines[3:] == [f"5 of 40 images in {root} are left out, as they cannot be decoded"]
    held = {image.numpy().tobytes(): int(label) for s in kept.values() for image, label in zip(s.values, s.labels, strict=True)}
    assert len(held) == 35
    for c in range(2):  # images keep their labels
        for i in range(20):
            image = photograph(8, 8, 100 * c + i).transpose(2, 0, 1).tobytes()
            assert held.get(image, c if i in (0, 2, 4, 6, 8) and c == 0 else None) == c


def test_a_share_that_is_too_small_is_refused_and_so_is_a_split_without_a_picture(tmp_path):
    root = spoilt(tmp_path / "a", 5, of=40)
    with pytest.raises(ValueError, match=r"5 of 40 images are bad: mend or remove them, or give --bad-files 0.125 to"):
        load("folder", root, reading=Reading(8, bad_files=0.12))
    for split, count in (("train", 20), ("test", 1)):
        album(tmp_path / "b" / split, *[(8, 8)] * count)
    for path in (tmp_path / "b" / "test").rglob("*.png"):
        path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"so are all images of the test split") as caught:
        load("folder", tmp_path / "b", reading=Reading(8, bad_files=0.5))
    assert "\n" not in str(caught.value)


def test_a_class_whose_pictures_are_all_bad_is_refused(tmp_path):
    root = album(tmp_path, *[(8, 8)] * 20)
    for path in (root / "dog").glob("*.png"):
        path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"would hold none of class dog"):
        noisy("folder", root, bad_files=0.6, directions=1).setup()


def test_rows_without_a_picture_are_left_out_too(tmp_path, capsys):
    for split in ("train", "test"):
        images = [None, *[{"bytes": p} for p in [b"", *[_png(8, 8)] * 18]]]
        pq.write_table(pa.table({"img": images, "label": [0, 1] * 10}), tmp_path / f"{split}.parquet")
    kept = load("parquet", tmp_path, reading=Reading(4, bad_files=0.1))
    assert [len(split.labels) for split in kept.values()] == [18, 18]
    assert "train.parquet row 0: cannot be decoded (holds no bytes)" in said(capsys)[0]


def _png(width, height):
    Image.fromarray(photograph(width, height)).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def header(width, height):
    """A PNG that ends where its pixels begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">II", zlib.crc32(chunk), 0) + b"IDAT"


@pytest.mark.parametrize(("width", "height"), [(9460, 9460), (10_000, 10_000), (20_000, 20_000), (2**30, 2**30)])
def test_a_huge_picture_is_refused_by_its_header(tmp_path, width, height):
    root = album(tmp_path, *[(8, 8)] * 5)
    (root / "cat" / "x.png").write_bytes(header(width, height))
    with pytest.raises(ValueError, match=r"x.png: more than 89,478,485 pixels, .* --most-pixels; 1 of 11 images are bad"):
        load("folder", root)


@pytest.mark.parametrize("most", [63, 64])
def test_most_pixels_is_the_most_that_is_read(tmp_path, most):
    root = album(tmp_path, *[(8, 8)] * 10)
    if most < 64:
        with pytest.raises(ValueError, match=f"png: more than {most} pixels, .* 20 of 20 images are bad: mend or remove them$"):
            load("folder", root, reading=Reading(8, most_pixels=most))
    else:
        load("folder", root, reading=Reading(8, most_pixels=most))
    assert Image.MAX_IMAGE_PIXELS == MOST_PIXELS


def test_pictures_beyond_pillows_own_limit_are_read_where_the_user_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    load("folder", album(tmp_path, *[(8, 8)] * 10), reading=Reading(8, most_pixels=64))
    assert said(capsys) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bad_files": 1.0}, r"bad_files must lie in \[0, 1\), found 1.0"),
        ({"bad_files": float("nan")}, r"bad_files must lie in \[0, 1\), found nan"),
        ({"most_pixels": 0}, "most_pixels must be at least 1, found 0"),
    ],
)
def test_impossible_shares_and_limits_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Folder(Path("nowhere"), **options)


@pytest.mark.parametrize("parts", [[""], ["all"], ["train", "test"], ["train/all", "val/all"]])
def test_a_folder_without_classes_is_one_class(tmp_path, capsys, parts):
    for i, part in enumerate(parts):
        (tmp_path / part).mkdir(parents=True, exist_ok=True)
        for j in range(20):
            Image.fromarray(photograph(8, 8, 100 * i + j)).save(tmp_path / part / f"{j}.png")
    data = noisy("folder", tmp_path, size=4, directions=1)
    data.setup()
    labels = [data.labels(split) for split in ("train", "validation", "test")]
    assert sum(map(len, labels)) == 20 * len(parts)
    assert data.classes == 1 and not any(map(any, labels))
    assert "has no sub-folders for two classes or more: its images are of one" in said(capsys)[-1]


def test_pictures_beside_one_folder_are_of_its_class(tmp_path):
    album(tmp_path, *[(8, 8)] * 10, classes=["more"])
    for i in range(5):
        Image.fromarray(photograph(8, 8, 50 + i)).save(tmp_path / f"{i}.png")
    assert sum(len(split.labels) for split in load("folder", tmp_path).values()) == 15
