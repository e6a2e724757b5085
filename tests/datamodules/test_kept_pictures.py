"""What was decoded once is not decoded again, is never taken for something else, and may be lost at any time."""

import json
import os

import numpy as np
import pytest
import torch
from noisy import load
from PIL import Image

from datamodules import kept, reading
from datamodules.decoding import Reading
from datamodules.sources import pictures

HALF = Reading(4, bad_files=0.5)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of 20 pictures, of which one is to be cropped and one is bad; its files count as old, the user's folder is empty."""
    for c, name in enumerate(("cat", "dog")):
        (tmp_path / "root" / name).mkdir(parents=True)
        for i in range(10):
            picture = np.random.default_rng(100 * c + i).integers(0, 256, (8, 9 if i == 3 and c else 8, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "root" / name / f"{i}.png")
    (tmp_path / "root" / "cat" / "5.png").write_bytes(b"nonsense")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(reading, "SETTLED", -10)
    return tmp_path / "root"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the pictures that are decoded."""
    names, decode = [], reading.decode

    def counted(encoded, name, *args):
        names.append(name)
        return decode(encoded, name, *args)

    monkeypatch.setattr(reading, "decode", counted)
    return names


def start(root, how=HALF):
    """As a new process would."""
    pictures._decoded.cache_clear()
    return {
        name: (split.values.clone(), split.labels, split.classes) for name, split in load("folder", root, reading=how).items()
    }


def same(a, b):
    return a.keys() == b.keys() and all(
        torch.equal(a[k][0], b[k][0]) and torch.equal(a[k][1], b[k][1]) and a[k][2] == b[k][2] for k in a
    )


def files(tmp_path):
    return sorted((tmp_path / "home" / "jepa-study" / "images").iterdir())


def test_a_second_start_decodes_nothing_gives_the_same_and_says_the_same(root, decoded, capsys):
    first, said = start(root), capsys.readouterr().err
    assert len(decoded) == 20
    assert same(start(root), first) and capsys.readouterr().err == said
    assert len(decoded) == 20
    assert "cat/5.png: cannot be decoded" in said and "resizing and cropping" in said


@pytest.mark.parametrize("change", ["content", "time", "another file", "class"])
def test_files_that_look_changed_are_decoded_again_in_place_of_what_was_kept(root, decoded, tmp_path, change):
    start(root)
    match change:
        case "content":
            Image.new("RGB", (8, 8)).save(root / "dog" / "0.png")
        case "time":
            os.utime(root / "dog" / "0.png", (0, 0))
        case "another file":
            Image.new("RGB", (8, 8)).save(root / "dog" / "10.png")
        case "class":
            (root / "dog" / "0.png").rename(root / "cat" / "10.png")
    kept_before, decoded[:] = files(tmp_path), []
    again = start(root)
    assert len(decoded) == 20 + (change == "another file")
    assert files(tmp_path) == kept_before
    assert same(start(root), again)


def test_other_options_are_kept_beside(root, decoded, tmp_path):
    start(root)
    assert start(root, Reading(2, bad_files=0.5))["train"][0].shape[-1] == 2
    assert len(decoded) == 40 and len(files(tmp_path)) == 4
    with pytest.raises(ValueError, match="1 of 20 images are bad"):
        start(root, Reading(4))
    assert len(files(tmp_path)) == 4


DAMAGE = {
    "a bit of the pixels": (".bin", lambda b: b[:7] + bytes([b[7] ^ 1]) + b[8:]),
    "pixels end early": (".bin", lambda b: b[:-1]),
    "a picture is missing": (".bin", lambda b: b[:-48]),
    "no pixels": (".bin", lambda b: b""),
    "what was said": (".json", lambda b: b.replace(b"reduced", b"REDUCED")),
    "which was left out": (".json", lambda b: b.replace(b'"left_out": {"train": [', b'"left_out": {"train": [0, ')),
    "the header ends early": (".json", lambda b: b[:-1]),
    "no header": (".json", lambda b: b""),
    "another kind of header": (".json", lambda b: b"[]"),
    "header of no text": (".json", lambda b: b"\xff\xfe"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_what_is_damaged_is_said_and_made_anew(root, decoded, tmp_path, capsys, case):
    first = start(root)
    suffix, damage = DAMAGE[case]
    (path,) = [path for path in files(tmp_path) if path.suffix == suffix]
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert path.read_bytes() != content
    capsys.readouterr()
    assert same(start(root), first) and len(decoded) == 40
    assert "kept pictures are damaged" in capsys.readouterr().err.splitlines()[0]
    assert path.read_bytes() == content


def test_it_may_be_deleted_as_a_whole_or_in_part(root, decoded, tmp_path):
    first = start(root)
    for suffixes in ({".bin"}, {".json"}, {".bin", ".json"}):
        for path in files(tmp_path):
            if path.suffix in suffixes:
                path.unlink()
        assert same(start(root), first)
    assert len(decoded) == 80


def test_the_files_of_two_writers_are_not_taken_together(root, tmp_path, capsys):
    start(root)
    header = files(tmp_path)[1]
    mine = header.read_bytes()
    Image.new("RGB", (8, 8)).save(root / "dog" / "0.png")
    start(root)
    header.write_bytes(mine)
    made_of = json.loads(mine)["made_of"]
    assert kept.recall(header.with_suffix(""), made_of, 4) is None
    assert "damaged (another checksum)" in capsys.readouterr().err


def test_files_that_may_still_change_unseen_are_not_kept(root, decoded, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "SETTLED", 3600)
    start(root)
    assert files(tmp_path) == []


def test_nothing_is_kept_where_others_can_write_or_there_is_no_home(root, decoded, tmp_path, monkeypatch):
    (tmp_path / "home" / "jepa-study" / "images").mkdir(parents=True)
    (tmp_path / "home" / "jepa-study").chmod(0o777)
    first = start(root)
    assert files(tmp_path) == []
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    assert same(start(root), first)
    assert not (tmp_path / "~").exists()


def test_a_disk_that_is_full_is_said_and_leaves_no_part(root, decoded, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.os, "replace", full)
    start(root)
    assert files(tmp_path) == []
    assert "could not be kept (No space left on device)" in capsys.readouterr().err


def test_writing_into_mapped_pictures_does_not_reach_the_file(root, tmp_path):
    first = start(root)
    pictures._decoded.cache_clear()
    load("folder", root, reading=HALF)["train"].values.zero_()
    assert same(start(root), first)
