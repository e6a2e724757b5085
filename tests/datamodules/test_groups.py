"""Samples of one group are never torn apart, and classes keep their proportions as well as that allows."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy import noisy
from PIL import Image

from datamodules.order import balanced, held_out

SPLITS = ("train", "validation", "test")


def grouped(root, groups):
    """Pictures in class/group/, or in a class where the group is "", of a colour that tells the class, the group and the number."""
    for number, (path, count) in enumerate(groups.items()):
        (root / path).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("RGB", (1, 1), (number, i, 0)).save(root / path / f"{i}.png")
    return root


def held(data):
    """By split: the numbers of the groups that its pictures are of."""
    data.setup()
    return {split: data._chosen[split].at(slice(None))[0, :, 0].tolist() for split in SPLITS}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=10, max_size=120), st.randoms())
def test_a_group_is_held_out_as_a_whole_and_each_class_of_several_groups_is_there(rows, random):
    groups, labels = map(torch.tensor, zip(*rows, strict=True))
    if len(set(groups.tolist())) < 2:
        return
    kept, out = held_out(labels, groups)
    assert sorted([*kept.tolist(), *out.tolist()]) == list(range(len(rows)))
    assert set(groups[kept].tolist()).isdisjoint(groups[out].tolist())
    for label in set(labels.tolist()):
        assert len(set(groups[labels == label].tolist())) == 1 or label in labels[out]
    names = random.sample(range(100), 10)  # what groups are called does not matter
    assert held_out(labels, torch.tensor(names)[groups])[1].tolist() == out.tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 20), st.integers(1, 9)), min_size=1, max_size=5))
def test_of_equal_groups_of_single_classes_so_many_are_held_out_as_come_nearest_to_a_fifth(classes):
    labels = torch.tensor([c for c, (count, size) in enumerate(classes) for _ in range(count * size)])
    groups = torch.tensor([100 * c + i for c, (count, size) in enumerate(classes) for i in range(count) for _ in range(size)])
    if len(labels) < 5:
        return
    wanted = labels[balanced(labels)[-(len(labels) // 5) :]].bincount(minlength=len(classes)).tolist()
    found = labels[held_out(labels, groups)[1]].bincount(minlength=len(classes)).tolist()
    for (count, size), want, have in zip(classes, wanted, found, strict=True):
        distances = [abs(size * taken - want) for taken in range(1, count)]
        assert abs(have - want) == min(distances)


def test_groups_of_one_are_held_out_as_if_there_were_none():
    labels = torch.arange(100) % 3
    for alone, single in zip(held_out(labels), held_out(labels, torch.arange(100)), strict=True):
        assert alone.tolist() == single.tolist()


def test_pictures_of_one_folder_are_in_one_split(tmp_path, capsys):
    root = grouped(tmp_path, {f"{name}/{g}": 4 + g for name in ("cat", "dog") for g in range(10, 17)})
    splits = held(noisy("folder", root, groups="folder", size=1, directions=1))
    together = [group for split in SPLITS for group in set(splits[split])]
    # Folders of the same name in two classes are one group.
    assert sorted(together) == list(range(14)) and all((g + 7) % 14 in splits[s] for s in SPLITS for g in splits[s])
    assert {split: len(set(splits[split])) for split in SPLITS} == {"train": 10, "validation": 2, "test": 2}
    assert f"7 groups of images in {tmp_path}: each stays whole" in capsys.readouterr().err
    torn = held(noisy("folder", root, size=1, directions=1))
    assert set(torn["train"]) & set(torn["test"])


def test_what_lies_beside_the_folders_of_a_class_is_by_itself(tmp_path):
    root = grouped(tmp_path, {"cat": 20, "dog": 20, "cat/a": 5, "dog/b/deep": 5, "dog/b": 5})
    splits = held(noisy("folder", root, groups="folder", size=1, directions=1))
    assert all(len(set(splits[s]) & {0, 1}) == 2 for s in SPLITS)
    assert sum(2 in splits[s] for s in SPLITS) == 1
    assert sum(3 in splits[s] or 4 in splits[s] for s in SPLITS) == 1


def test_without_classes_the_folders_in_the_one_folder_are_groups(tmp_path):
    splits = held(noisy("folder", grouped(tmp_path, {f"all/{g}": 5 for g in range(9)}), groups="folder", size=1, directions=1))
    assert sum(len(set(groups)) for groups in splits.values()) == 9


def test_folders_without_folders_in_them_are_recordings_and_no_classes(tmp_path, capsys):
    data = noisy("folder", grouped(tmp_path, {f"v{g}": 5 for g in range(9)}), groups="folder", size=1, directions=1)
    splits = held(data)
    assert sum(len(set(groups)) for groups in splits.values()) == 9 and data.classes in (None, 1)
    assert "its 9 folders have none in them, so each is taken for a recording" in capsys.readouterr().err


def test_a_test_split_of_its_own_stays_and_validation_is_held_out_by_groups(tmp_path):
    parts = {f"train/{c}/{g}": 6 for c in "ab" for g in range(4)} | {"test/a/0": 3, "test/b/x": 3}
    splits = held(noisy("folder", grouped(tmp_path, parts), groups="folder", size=1, directions=1))
    assert set(splits["test"]) == {8, 9} and set(splits["train"]).isdisjoint(splits["validation"])


def test_pictures_that_are_left_out_leave_the_others_in_their_groups(tmp_path):
    root = grouped(tmp_path, {f"{c}/{g}": 5 for c in "ab" for g in range(6)})
    for path in sorted(root.rglob("*.png"))[:7]:
        path.write_bytes(b"nonsense")
    splits = held(noisy("folder", root, groups="folder", bad_files=0.2, size=1, directions=1))
    assert sum(map(len, splits.values())) == 53
    assert all(set(splits[a]).isdisjoint(splits[b]) for a in SPLITS for b in SPLITS if a < b)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": 9}, "groups are folders, and no class has any; expected a/GROUP/..., or leave groups out"),
        ({"a": 9, "b": 9}, "training samples of one group; expected several"),
        ({"a/1": 9, "b/1": 9}, "training samples of one group; expected several"),
        ({"a/1": 9, "a/2": 9, "b/1": 9, "b/2": 9}, "training samples of one group; expected several"),
        (
            {"a/1": 9, "a/2": 9, "a/3": 9, "b/4": 9},
            "split of .* would hold none of class b, which has 9 of 36 samples in 1 groups, which stay whole; expected at least one",
        ),
    ],
)
def test_groups_that_leave_a_split_without_a_class_are_refused(tmp_path, groups, message):
    data = noisy("folder", grouped(tmp_path, groups), groups="folder", size=1, directions=1)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}: .*({message})") as caught:
        data.setup()
    assert "\n" not in str(caught.value)
