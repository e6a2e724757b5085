"""Random trees of images and tables: refused in one line, or every image that is not said to be skipped is in a split, as it was.

The long version: STUDY_FUZZ=2000 python -m pytest tests/datamodules/test_fuzz_images.py -m slow
"""

import contextlib
import io
import os
import re
import signal
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from noisy import noisy
from PIL import Image

LIMIT = 20  # seconds that a case may take
NAMES = st.sampled_from(
    ["a", "b", "c d", "\u732b", "new\nline", "\x1b[31m", ".hidden", "Train", "test", "val", "train", "Valid", "x" * 60]
)
CONTENTS = st.sampled_from(
    [*["whole"] * 8, "deep", "alpha", "grey", "palette", "cmyk", "half", "empty", "text", "other size", "pipe", "link"]
)
FILES = st.lists(CONTENTS, min_size=0, max_size=14)
TREES = st.dictionaries(NAMES, FILES | st.just(["whole"] * 12), min_size=0, max_size=4)
SPLITS = st.fixed_dictionaries({}, optional=dict.fromkeys(("train", "Test", "val", ".git"), TREES))
LABELS = st.sampled_from([0, 0, 1, 1, 2, 5, 10**12, 2**64 - 1, None, -1])
IMAGES = st.sampled_from(["struct"] * 8 + ["text", "list", "null", "name twice", "no label"])
TABLES = st.tuples(IMAGES, st.lists(LABELS, max_size=3), st.integers(0, 40), st.integers(1, 7))


def picture(kind, number, size=(2, 2)):
    """The bytes of a file of one colour that depends on its number."""
    colour = (number % 256, number // 256 % 256, 50)
    image = Image.new("RGB", size if kind != "other size" else (4, 4), colour)
    if kind == "deep":
        image = Image.fromarray(np.full(size, number * 257 % 65536, np.uint16))
    mode = {"alpha": "RGBA", "grey": "L", "palette": "P", "cmyk": "CMYK"}.get(kind)
    image = image.convert(mode) if mode else image
    image.save(buffer := io.BytesIO(), "JPEG" if kind == "cmyk" else "PNG")
    content = buffer.getvalue()
    return {"half": content[: len(content) // 2], "empty": b"", "text": b"nonsense"}.get(kind, content)


def write(root, tree, number=0):
    """Writes a tree; gives the number of image files that are neither hidden nor in hidden folders."""
    visible = 0
    for name, files in tree.items():
        (root / name).mkdir()
        for kind in files:
            number += 1
            path = root / name / f"{number}.png"
            if kind == "pipe":
                os.mkfifo(path)
            elif kind == "link":
                path.symlink_to(root)
            else:
                path.write_bytes(picture(kind, number))
            visible += not name.startswith(".")
    return visible, number


def table(path, made, start):
    kind, values, count, group = made
    images = [{"bytes": picture("whole", start + i), "path": ""} for i in range(count)]
    if kind == "text":
        images = [{"bytes": "abc", "path": ""}] * count
    elif kind == "list":
        images = [{"bytes": [1, 2], "path": ""}] * count
    elif kind == "null" and count:
        images[-1] = None
    labels = [(values or [0, 1])[i % len(values or [0, 1])] for i in range(count)]
    unsigned = any(label is not None and label >= 2**63 for label in labels)
    labels = [0 if unsigned and label is not None and label < 0 else label for label in labels]
    columns = [pa.array(images), pa.array(labels, pa.uint64() if unsigned else pa.int64())]
    names = ["img", "label"]
    if kind == "name twice":
        columns, names = [*columns, columns[1]], [*names, "label"]
    elif kind == "no label":
        columns, names = columns[:1], names[:1]
    pq.write_table(pa.Table.from_arrays(columns, names), path, row_group_size=group)
    return count


def outcome(source, root):
    """The data, or the words in which it was refused; the lines on stderr."""

    def stop(*_):
        raise TimeoutError(f"not done after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    data = noisy(source, root, size=1, directions=1)
    try:
        with warnings.catch_warnings(action="error"), contextlib.redirect_stderr(io.StringIO()) as said:
            data.setup()
    except ValueError as error:
        return str(error), said.getvalue()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return data, said.getvalue()


def check(source, root, expected):
    data, said = outcome(source, root)
    assert all(line.startswith("study: ") and line.isprintable() for line in said.splitlines()), said
    if isinstance(data, str):
        assert len(data) < 400 and data.isprintable(), data
        return
    splits = {name: data.labels(name) for name in ("train", "validation", "test")}
    assert sum(len(labels) for labels in splits.values()) == expected
    for labels in splits.values():
        assert sorted(set(labels.tolist())) == list(range(data.classes))
    if not re.search("16-bit|transparent|CMYK", said) and source == "parquet":
        blue = [data._chosen[name].at(slice(None))[0, :, 2] for name in splits]
        assert all((pixels == 50).all() for pixels in blue)


def tree_case(split, trees):
    with tempfile.TemporaryDirectory() as made:
        root, expected, number = Path(made), 0, 0
        for name, tree in trees.items() if split else [("", trees)]:
            (root / name).mkdir(exist_ok=True)
            visible, number = write(root / name, tree, number)
            expected += 0 if name.startswith(".") else visible
        check("folder", root, expected)


def table_case(tables):
    with tempfile.TemporaryDirectory() as made:
        check(
            "parquet",
            Path(made),
            sum(table(Path(made) / f"{name}.parquet", t, 100 * i) for i, (name, t) in enumerate(tables.items())),
        )


TABLE_SETS = st.fixed_dictionaries({"train": TABLES}, optional=dict.fromkeys(("train-2", "test", "validation"), TABLES))
CASES = int(os.environ.get("STUDY_FUZZ", "20"))
SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}


@settings(max_examples=20, **SETTINGS)
@given(TREES)
def test_class_folders_are_whole_or_refused(tree):
    tree_case(False, tree)


@settings(max_examples=20, **SETTINGS)
@given(SPLITS)
def test_split_folders_are_whole_or_refused(trees):
    tree_case(True, trees)


@settings(max_examples=20, **SETTINGS)
@given(TABLE_SETS)
def test_tables_are_whole_or_refused(tables):
    table_case(tables)


@pytest.mark.slow
@settings(max_examples=CASES, **SETTINGS)
@given(TREES | st.tuples(SPLITS) | st.tuples(TABLE_SETS, st.none()))
def test_thousands_of_trees_and_tables(case):
    if isinstance(case, dict):
        tree_case(False, case)
    elif len(case) == 1:
        tree_case(True, case[0])
    else:
        table_case(case[0])
