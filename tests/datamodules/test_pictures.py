"""Pictures of every kind are converted right and said, or refused in one line; nothing hangs, is skipped or allocated unseen."""

import io
import os
import socket
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from noisy import load, noisy
from PIL import Image

from datamodules import memory
from datamodules.decoding import Reading
from datamodules.sources import parquet as parquet_tables


def encoded(image, kind="PNG", **options):
    image.save(buffer := io.BytesIO(), kind, **options)
    return buffer.getvalue()


def noise(seed=0, mode="RGB", size=(4, 4)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def tree(root, *parts, count=10):
    """Images in root/part/ for each part."""
    for c, part in enumerate(parts):
        (root / part).mkdir(parents=True)
        for i in range(count):
            noise(100 * c + i).save(root / part / f"{i}.png")
    return root


def only(root, name, content, size=(4, 4)):
    """A folder in which `content` is the one image of class b, beside others of the same size."""
    (root / "a").mkdir(parents=True)
    (root / "b").mkdir()
    for i in range(5):
        noise(i, size=size).save(root / "a" / f"{i}.png")
    (root / "b" / name).write_bytes(content)
    (root / "b" / "plain.png").write_bytes(encoded(noise(9, size=size)))
    return root


def read(root, name, content, size=(4, 4)):
    """What is made of one image: an array [h, w, 3]."""
    splits = load("folder", only(root, name, content, size), reading=Reading(size[0]))
    plain = np.asarray(noise(9, size=size))
    found = [image.permute(1, 2, 0).numpy() for s in splits.values() for image in s.values[s.labels == 1]]
    (image,) = [image for image in found if not np.array_equal(image, plain)]
    return image


def table(root, **columns):
    root.mkdir(exist_ok=True)
    for split in ("train", "test"):
        made = {"img": [{"bytes": encoded(noise(i)), "path": ""} for i in range(20)], "label": [i % 2 for i in range(20)]}
        pq.write_table(pa.table(made | columns), root / f"{split}.parquet")
    return root


def tiff(order, array, photometric=None, bits=16, signed=False):
    """A TIFF of one strip, by the specification of 1992: header, directory, further values, pixels."""
    height, width, channels = array.shape
    entries = {256: width, 257: height, 259: 1, 262: (1 if channels == 1 else 2) if photometric is None else photometric,
               277: channels, 278: height, 279: array.size * 2, 339: 2 if signed else 1}  # fmt: skip
    end = 8 + 2 + 12 * (len(entries) + 2) + 4
    entries |= {258: bits if channels == 1 else end, 273: end + 2 * channels}
    counts = {258: channels}
    content = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(entries))
    for tag, value in sorted(entries.items()):
        inline = f"{order}HHIHH" if (tag != 258 or channels == 1) and tag not in (273, 279) else f"{order}HHII"
        kind = 4 if tag in (273, 279) else 3
        content += struct.pack(inline, tag, kind, counts.get(tag, 1), value, *([0] if inline.endswith("HH") else []))
    content += struct.pack(f"{order}I", 0) + struct.pack(f"{order}{channels}H", *[bits] * channels)
    return content + array.astype(f"{order}u2").tobytes()


DEEP = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4369
DEEP_COLOUR = np.random.default_rng(7).integers(0, 65536, (4, 4, 3), dtype=np.uint16)
ALPHA = np.dstack([np.full((4, 4, 3), 200, np.uint8), np.repeat(np.array([[0, 51, 255, 255]], np.uint8), 4, 0)])
ON_WHITE = np.repeat(np.repeat(np.array([[255, 244, 200, 200]], np.uint8), 4, 0)[..., None], 3, -1)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # the row that is shown on top is stored at the left


def palette():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 200, 200, 200])
    image.putpixel((1, 0), 1)
    return image


def painted(background, changed):
    array = np.full((4, 4, 3), background, np.uint8)
    array[0, 1] = changed
    return array


def grey(image):
    return np.asarray(image.convert("RGB"))


CASES = {
    "16-bit grey": ("x.png", encoded(Image.fromarray(DEEP)), np.repeat(np.rint(DEEP / 257).astype(np.uint8)[..., None], 3, -1),
                    "1 of 7 images in {} are 16-bit grey: scaled to 8 bits"),
    "EXIF orientation": ("x.png", encoded(noise(7), exif=TURNED), np.asarray(noise(7).transpose(Image.Transpose.ROTATE_270)),
                         "1 of 7 images in {} are turned as their EXIF orientation says"),
    "alpha": ("x.png", encoded(Image.fromarray(ALPHA)), ON_WHITE, "1 of 7 images in {} are transparent: laid on white"),
    "grey with alpha": ("x.png", encoded(Image.fromarray(ALPHA).convert("LA")), ON_WHITE,
                        "1 of 7 images in {} are transparent: laid on white"),
    "palette with a transparent colour": ("x.png", encoded(palette(), transparency=0), painted(255, 200),
                                          "1 of 7 images in {} are transparent: laid on white"),
    "opaque alpha": ("x.png", encoded(noise(7, "RGBA")), np.asarray(noise(7)), None),
    "palette": ("x.png", encoded(palette()), painted(0, 200), None),
    "black and white": ("x.png", encoded(noise(7, "1")), grey(noise(7, "1")), None),
    "grey": ("x.png", encoded(noise(7, "L")), grey(noise(7, "L")), None),
    "grey JPEG": ("x.jpg", encoded(Image.new("L", (4, 4), 77), "JPEG"), np.full((4, 4, 3), 77, np.uint8), None),
    "WebP": ("x.webp", encoded(noise(7), "WEBP", lossless=True), np.asarray(noise(7)), None),
    "CMYK": ("x.jpg", encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 55)), "JPEG"), np.full((4, 4, 3), 200, np.uint8),
             "1 of 7 images in {} are CMYK: converted to RGB without a colour profile"),
    "animation": ("x.gif", encoded(Image.new("L", (4, 4), 9), "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 99)]),
                  np.full((4, 4, 3), 9, np.uint8), "1 of 7 images in {} hold several frames or pages: the first is taken"),
    "BMP": ("x.bmp", encoded(noise(7), "BMP"), np.asarray(noise(7)), None),
    "TIFF": ("x.tif", encoded(noise(7), "TIFF", compression="tiff_lzw"), np.asarray(noise(7)), None),
    "TIFF of several pages": ("X.TIFF", encoded(noise(7), "TIFF", save_all=True, append_images=[noise(8)]), np.asarray(noise(7)),
                              "1 of 7 images in {} hold several frames or pages: the first is taken"),
    "TIFF with an orientation": ("x.tif", encoded(noise(7), "TIFF", exif=TURNED), np.asarray(noise(7).transpose(Image.Transpose.ROTATE_270)),
                                 "1 of 7 images in {} are turned as their EXIF orientation says"),
    "TIFF with alpha": ("x.tif", encoded(Image.fromarray(ALPHA), "TIFF"), ON_WHITE, "1 of 7 images in {} are transparent: laid on white"),
    "16-bit grey TIFF": ("x.tif", encoded(Image.fromarray(DEEP), "TIFF"), np.repeat(np.rint(DEEP / 257).astype(np.uint8)[..., None], 3, -1),
                         "1 of 7 images in {} are 16-bit grey: scaled to 8 bits"),
    "16-bit grey TIFF, high byte first": ("x.tif", tiff(">", DEEP[..., None]), np.repeat(np.rint(DEEP / 257).astype(np.uint8)[..., None], 3, -1),
                                          "1 of 7 images in {} are 16-bit grey: scaled to 8 bits"),
    "16-bit colour TIFF": ("x.tif", tiff("<", DEEP_COLOUR), (DEEP_COLOUR >> 8).astype(np.uint8),
                           "1 of 7 images in {} have 16 bits per channel: the upper 8 are kept"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_pictures_are_converted_right_and_what_is_lost_is_said(case, tmp_path, capsys):
    name, content, expected, line = CASES[case]
    found = read(tmp_path, name, content)
    assert capsys.readouterr().err.splitlines() == ([] if line is None else [f"study: {line.format(tmp_path)}"])
    np.testing.assert_allclose(found.astype(int), expected.astype(int), rtol=0, atol=1)


def lines(capsys):
    return "\n".join(capsys.readouterr().err.splitlines())


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "test"), ("TRAIN", "TEST")])
def test_split_folders_are_known_in_any_case(tmp_path, names):
    train, test = names
    tree(tmp_path, f"{train}/cat", f"{train}/dog")
    tree(tmp_path, f"{test}/cat", f"{test}/dog", count=3)
    loaded = load("folder", tmp_path)
    assert {name: split.labels.tolist() for name, split in loaded.items()} == {
        "train": [0] * 10 + [1] * 10, "test": [0] * 3 + [1] * 3}  # fmt: skip


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_train_and_val_alone_use_val_as_test_and_say_so(tmp_path, capsys, name):
    tree(tmp_path, "train/cat", "train/dog")
    tree(tmp_path, f"{name}/cat", f"{name}/dog", count=3)
    assert load("folder", tmp_path)["test"].labels.tolist() == [0] * 3 + [1] * 3
    assert "has no test split: its validation split is used as one" in lines(capsys)


def test_a_validation_split_of_its_own_is_the_validation_split(tmp_path):
    for split, count in (("train", 10), ("val", 4), ("test", 3)):
        tree(tmp_path / split, "cat", "dog", count=count)
    data = noisy("folder", tmp_path, size=1, directions=1)
    data.setup()
    assert [len(data.labels(split)) for split in ("train", "validation", "test")] == [20, 8, 6]


def fifo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))


BAD_TREES = {
    "only train": (lambda p: tree(p, "train/a", "train/b"), "found only the split train; expected train and test"),
    "only test": (lambda p: tree(p, "Test/a", "Test/b"), "found only the split test; expected train and test"),
    "splits beside classes": (lambda p: tree(p, "cat", "dog", "train/cat", "train/dog", "test/cat", "test/dog"), "splits alone or"),
    "a split twice": (lambda p: tree(p, "train/a", "Train/a", "test/a"), "name a split twice"),
    "class without test images": (lambda p: tree(p, "train/a", "train/b", "train/c", "test/a", "test/b"), "class c is in train and not"),
    "nothing": (lambda p: (p / "a" / "b").mkdir(parents=True), "no images; expected files ending in .png .* in one sub-folder per class"),
    "a class of one split alone": (lambda p: tree(p, "train/a", "train/b", "test/a"), "class b is in train and not in test"),
    "pipe": (lambda p: fifo(tree(p, "a", "b") / "a" / "x.png"), "a/x.png: neither a file nor a folder"),
    "pipe of no image": (lambda p: fifo(tree(p, "a", "b") / "a" / "x"), "a/x: neither a file nor a folder"),
    "socket": (lambda p: listening(tree(p, "a", "b") / "s"), "s: neither a file nor a folder"),
    "pipe as parquet": (lambda p: fifo(table(p) / "train-2.parquet"), "train-2.parquet: neither a file nor a folder"),
    "folder as parquet": (lambda p: (table(p) / "train-2.parquet").mkdir(), "train-2.parquet: a folder; expected a parquet file"),
    "broken link": (lambda p: (tree(p, "a", "b") / "a" / "x.png").symlink_to("nowhere"), "a/x.png: neither a file nor a folder"),
    "link to itself": (lambda p: (tree(p, "a", "b") / "a" / "x").symlink_to("x"), "a/x: cannot be read"),
    "link back": (lambda p: (tree(p, "a", "b") / "a" / "up").symlink_to(p), "a link that leads back"),
    "16-bit grey with a transparent shade": (
        lambda p: only(p, "x.png", encoded(Image.fromarray(DEEP), transparency=7)), "x.png: cannot be decoded .mode I.*8 bits"),
    "float TIFF": (lambda p: only(p, "x.png", encoded(Image.new("F", (4, 4)), "TIFF")), "x.png: cannot be decoded .*expected a whole PNG"),
    "signed TIFF": (lambda p: only(p, "x.tif", tiff("<", DEEP[..., None], signed=True)), "x.tif: cannot be decoded .mode I"),
    "TIFF that counts from white": (
        lambda p: only(p, "x.tif", tiff("<", DEEP[..., None], photometric=0)), "x.tif: cannot be decoded .mode I"),
    "TIFF of 12 bits": (lambda p: only(p, "x.tif", tiff("<", DEEP[..., None], bits=12)), "x.tif: cannot be decoded .mode I"),
    "half a TIFF": (lambda p: only(p, "x.tif", encoded(noise(7), "TIFF")[:-30]), "x.tif: cannot be decoded"),
    "half a BMP": (lambda p: only(p, "x.bmp", encoded(noise(7), "BMP")[:-30]), "x.bmp: cannot be decoded"),
    "a bomb": (lambda p: only(p, "x.png", encoded(Image.new("1", (20_000, 20_000)))), "x.png: more than 89,478,485 pixels"),
    "half a bomb": (lambda p: only(p, "x.png", encoded(Image.new("1", (10_000, 10_000)))), "x.png: more than 89,478,485 pixels"),
    "bytes are text": (lambda p: table(p, img=[{"bytes": "abc", "path": ""}] * 20), "column img is .*; expected struct<bytes: binary"),
    "bytes are lists": (lambda p: table(p, img=[{"bytes": [1, 2], "path": ""}] * 20), "column img is .*; expected struct<bytes: binary"),
    "no bytes": (lambda p: table(p, img=[*[{"bytes": encoded(noise(0)), "path": ""}] * 19, {"bytes": None, "path": "a"}]),
                 "row 19: cannot be decoded .holds no bytes"),
    "null image": (lambda p: table(p, img=pa.array([None, *[{"bytes": encoded(noise(0))}] * 19])), "row 0: cannot be decoded .holds no bytes"),
    "empty": (lambda p: pq.write_table(pq.read_table(table(p) / "train.parquet")[:0], p / "test.parquet"), "hold no rows"),
    "labels differ": (lambda p: pq.write_table(
        pa.table({"img": pq.read_table(table(p) / "train.parquet")["img"], "label": [0, 7] * 10}), p / "test.parquet"),
        "class 1 is in train and not in test"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TREES)
def test_what_cannot_be_read_right_is_refused_in_one_line(case, tmp_path, prompt):
    make, message = BAD_TREES[case]
    make(tmp_path)
    source = "parquet" if list(tmp_path.glob("*.parquet")) else "folder"
    with warnings.catch_warnings(action="error"), pytest.raises(ValueError, match=message) as caught:
        load(source, tmp_path)
    found = str(caught.value)
    assert "\n" not in found and len(found) < 400


def test_two_columns_of_one_name_are_refused(tmp_path):
    whole = pq.read_table(table(tmp_path) / "train.parquet")
    pq.write_table(
        pa.Table.from_arrays([*whole.columns, whole["label"]], ["img", "label", "label"]), tmp_path / "train.parquet"
    )
    with pytest.raises(ValueError, match=r"train.parquet: has columns img, label, label; expected img and label, each once"):
        load("parquet", tmp_path)


def test_what_is_skipped_is_counted_and_said(tmp_path, capsys):
    tree(tmp_path, "a", "b")
    for name in ("a/.DS_Store", "a/._0.png", ".git/config", "b/notes.txt", "b/x.xcf", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"not an image")
    assert sum(len(split.labels) for split in load("folder", tmp_path).values()) == 20
    said = lines(capsys)
    assert "3 hidden file(s) or folder(s)" in said and "2 file(s) of other kinds" in said and "1 file(s) outside" in said


def test_links_to_folders_are_followed(tmp_path):
    tree(tmp_path / "elsewhere", "more")
    tree(tmp_path / "root", "a", "b")
    (tmp_path / "root" / "a" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    assert sum(int((split.labels == 0).sum()) for split in load("folder", tmp_path / "root").values()) == 20


@pytest.mark.parametrize("part", ["a/deeper", "a/deeper/3.png"])
@pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root, to become a user who may not read a folder: root may read everything"
)
def test_what_may_not_be_read_is_refused_by_name(part):
    with tempfile.TemporaryDirectory() as made:  # not pytest's own folder, which is closed to others
        root = Path(made)
        root.chmod(0o755)
        tree(root, "b", "a/deeper")
        (root / part).chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(ValueError, match=f"{root / part}: cannot be read .Permission denied"):
                load("folder", root)
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    "numbers",
    [
        pa.array([3, 10**12] * 10),
        pa.array([0, 2**64 - 1] * 10, pa.uint64()),
        pa.array([7, 9] * 10, pa.uint8()),
    ],
)
def test_labels_that_are_not_0_to_c_are_numbered_and_said(tmp_path, capsys, numbers):
    data = noisy("parquet", table(tmp_path, label=numbers), size=1, directions=1)
    data.setup()
    assert data.classes == 2
    assert set(data.labels("train").tolist()) == {0, 1}
    assert "the 2 labels in" in lines(capsys)


def test_row_groups_and_several_files_keep_images_with_their_labels(tmp_path):
    table(tmp_path)
    whole = pq.read_table(tmp_path / "train.parquet")
    pq.write_table(whole, tmp_path / "train.parquet", row_group_size=3)
    pq.write_table(whole[:7], tmp_path / "train-1.parquet", row_group_size=2)
    loaded = load("parquet", tmp_path, reading=Reading(4))["train"]
    expected = [*range(7), *range(20)]  # train-1 comes before train.
    assert loaded.labels.tolist() == [i % 2 for i in expected]
    for i, image in zip(expected, loaded.values, strict=True):
        assert np.array_equal(image.permute(1, 2, 0), noise(i))


def test_a_set_that_does_not_fit_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    import datamodules.memory

    monkeypatch.setattr(datamodules.memory, "free_bytes", lambda: 900)
    with pytest.raises(ValueError, match="20 images of 4 x 4 pixels need 960 bytes, and 900 are free; give a smaller --size"):
        load("folder", tree(tmp_path, "a", "b"), reading=Reading(4))


def test_too_many_directions_for_the_memory_are_refused(tmp_path, monkeypatch):
    import datamodules.memory

    monkeypatch.setattr(datamodules.memory, "free_bytes", lambda: 10**9)
    with pytest.raises(ValueError, match=r"3,000,000 inputs for 1 seeds need .* free; give a smaller --size"):
        noisy("folder", tmp_path, size=1000).setup()


def test_a_table_that_is_replaced_while_it_is_read_is_refused(tmp_path, monkeypatch):
    table(tmp_path)
    labels = parquet_tables._labels

    def changing(path):
        found = labels(path)
        table(tmp_path, label=pa.array([1, 0] * 10))
        return found

    monkeypatch.setattr(parquet_tables, "_labels", changing)
    with pytest.raises(ValueError, match="changed while it was read; start again"):
        load("parquet", tmp_path)


def test_copies_of_files_that_the_system_keeps_are_free_memory(tmp_path, monkeypatch):
    for name, value in {"max": "2000", "current": "1900", "stat": "anon 300\ninactive_file 1500"}.items():
        (tmp_path / f"memory.{name}").write_text(f"{value}\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.free_bytes() == 1600


def test_names_do_not_reach_the_terminal_raw(tmp_path):
    with pytest.raises(ValueError, match=r"\\x1b\[31mred\\nline") as caught:
        load("folder", only(tmp_path, "\x1b[31mred\nline.png", b"nonsense"))
    assert str(caught.value).isprintable()


def test_pictures_of_one_pixel_are_read(tmp_path):
    for c in "ab":
        (tmp_path / c).mkdir()
        for i in range(10):
            noise(i, size=(1, 1)).save(tmp_path / c / f"{i}.png")
    data = noisy("folder", tmp_path, size=1, directions=1)
    data.setup()
    assert torch.isfinite(data.clean("train")).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": -16}, "size must be at least 1, found -16"),
        ({"size": 0, "directions": 0}, "size must be at least 1, found 0"),
        ({"count": 0}, "count must be at least 10, found 0"),
        ({"amplitude": float("nan")}, "amplitude must be finite and not negative, found nan"),
    ],
)
def test_the_first_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        noisy(**options)
