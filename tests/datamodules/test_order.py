"""Whatever the order of the files, splits and counts hold the classes in their proportions, and nothing is used twice."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy import load, noisy
from PIL import Image

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=12)


def sorted_by_class(root, sizes, test=5):
    """Images of one colour channel per class, so that a class can be read from a pixel, in folders."""
    for split, counts in (("train", sizes), ("test", [test] * len(sizes))):
        for c, count in enumerate(counts):
            (root / split / f"class{c}").mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (2, 2), (10 * c, i % 256, 0)).save(root / split / f"class{c}" / f"{i:03}.png")
    return root


def as_parquet(root, folder):
    root.mkdir()
    for split in ("train", "test"):
        files = sorted((folder / split).glob("*/*.png"))
        table = {
            "img": [{"bytes": p.read_bytes(), "path": ""} for p in files],
            "label": [int(p.parent.name[5:]) for p in files],
        }
        pq.write_table(pa.table(table), root / f"{split}.parquet")
    return root


@settings(max_examples=100, deadline=None)
@given(SIZES, st.integers(0, 2**32), st.data())
def test_every_prefix_and_slice_of_the_order_holds_the_classes_in_proportion(sizes, seed, data):
    from datamodules.order import balanced

    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    order = balanced(torch.from_numpy(labels)).numpy()
    assert sorted(order) == list(range(len(labels)))
    held = np.cumsum(np.eye(len(sizes))[labels[order]], axis=0)
    fair = np.arange(1, len(labels) + 1)[:, None] * np.array(sizes) / len(labels)
    assert np.abs(held - fair).max() < 1
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(labels) - 1)] * 2)))
    assert np.abs((held - fair)[last] - (held - fair)[first]).max() < 2


def test_the_order_is_the_same_on_every_machine():
    from datamodules.order import balanced

    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    assert balanced(labels).tolist() == [1, 7, 4, 8, 2, 5, 0, 6, 9, 3]


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_files_sorted_by_class_give_every_split_every_class(tmp_path, source):
    root = sorted_by_class(tmp_path / "folder", [50] * 5)
    root = as_parquet(tmp_path / "parquet", root) if source == "parquet" else root
    for count in (250, 60):
        data = noisy(source, root, size=1, count=count, directions=1)
        data.setup()
        held = {split: data.labels(split).bincount(minlength=5).tolist() for split in ("train", "validation", "test")}
        assert sum(held["train"]) + sum(held["validation"]) == count
        for split, counts in held.items():
            assert max(counts) - min(counts) <= 1, (split, counts)
            assert min(counts) >= 1
        pixels = data.clean("train") * data._std + data._mean_d
        torch.testing.assert_close(pixels[:, 0], 10.0 * data.labels("train"), rtol=0, atol=1e-3)  # images keep their labels


def test_train_and_validation_are_different_images(tmp_path):
    data = noisy("folder", sorted_by_class(tmp_path, [30, 30]), size=1, directions=1)
    data.setup()
    together = torch.cat([data._chosen[split].at(slice(None))[0] for split in ("train", "validation")])
    assert len(together.unique(dim=0)) == 60


def test_a_count_keeps_the_test_split_balanced_too(tmp_path):
    data = noisy("folder", sorted_by_class(tmp_path, [20, 20], test=10), size=1, directions=1, count=12)
    data.setup()
    assert data.labels("test").bincount(minlength=2).tolist() == [6, 6]


def test_built_in_images_are_drawn_in_the_same_order():
    data = noisy(count=100, size=4, directions=2)
    data.setup()
    assert data.labels("train").bincount().tolist() == [8] * 10
    assert data.labels("validation").bincount().tolist() == [2] * 10
    assert data.labels("test").bincount().tolist() == [10] * 10
    assert data.labels("train").tolist() != (list(range(10)) * 8)


@pytest.mark.parametrize(
    ("sizes", "count", "message"),
    [
        ([40, 1], 100, "split of .* samples would hold none of class class1, which has 1 of 41 samples; 7 training samples"),
        ([40, 2], 10, "split of .* samples would hold none of class class1, which has 2 of 42 samples; 7 training"),
        ([100, 20], 10, "hold none of class class1.* give --count 42 or more"),
    ],
)
def test_a_split_that_would_lack_a_class_is_refused(tmp_path, sizes, count, message):
    data = noisy("folder", sorted_by_class(tmp_path, sizes), size=1, directions=1, count=count)
    for _ in range(2):  # nothing of a failed set-up is kept
        with pytest.raises(ValueError, match=message) as caught:
            data.setup()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_the_count_that_a_refusal_names_is_enough(tmp_path):
    noisy("folder", sorted_by_class(tmp_path, [100, 20]), size=1, directions=1, count=42).setup()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(7, 40), min_size=2, max_size=8), st.integers(10, 400))
def test_seven_images_of_each_class_are_enough(sizes, count):
    from datamodules.order import balanced

    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    used = balanced(labels)[: max(count, -(-7 * len(labels) // min(sizes)))]
    used = used[balanced(labels[used])]
    assert len(set(labels[used[-(len(used) // 5) :]].tolist())) == len(sizes)


def test_a_folder_without_splits_holds_out_a_fifth_of_every_class(tmp_path):
    root = sorted_by_class(tmp_path, [50, 10, 10]) / "train"
    loaded = load("folder", root)
    assert loaded["test"].labels.bincount().tolist() == [10, 2, 2]
    assert loaded["train"].labels.bincount().tolist() == [40, 8, 8]
