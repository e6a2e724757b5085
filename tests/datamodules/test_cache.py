"""What was decoded once is not decoded again, is never taken for something else, and may be lost at any time."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from noisy import load
from PIL import Image

from datamodules import cache, reading, seen
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
    monkeypatch.setattr(seen, "SETTLED", -10)
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
    assert len(decoded) == 40 and len(files(tmp_path)) == 2
    with pytest.raises(ValueError, match="1 of 20 images are bad"):
        start(root, Reading(4))
    assert len(files(tmp_path)) == 2


DAMAGE = {
    "a bit of the pixels": lambda b: b[:7] + bytes([b[7] ^ 1]) + b[8:],
    "the same once more": lambda b: b,
    "pixels end early": lambda b: b[48:],
    "no pixels": lambda b: b[19 * 48 :],
    "what was said": lambda b: b.replace(b"reduced", b"REDUCED"),
    "the header ends early": lambda b: b[:-20],
    "a header without an end": lambda b: b[:-8] + (2**63).to_bytes(8),
    "a header longer than the file": lambda b: b[:-8] + (10**6).to_bytes(8),
    "another kind of header": lambda b: b[: 19 * 48] + b"[]" + (2).to_bytes(8),
    "a header of no text": lambda b: b[: 19 * 48] + b"\xff\xfe" + (2).to_bytes(8),
    "a few bytes": lambda b: b[:5],
    "nothing": lambda b: b"",
}


@pytest.mark.parametrize("case", DAMAGE)
def test_what_is_damaged_is_said_and_made_anew(root, decoded, tmp_path, capsys, case):
    first = start(root)
    (path,) = files(tmp_path)
    content = path.read_bytes()
    path.write_bytes(DAMAGE[case](content))
    capsys.readouterr()
    assert same(start(root), first) and len(decoded) == 40
    assert "kept pictures are damaged" in capsys.readouterr().err.splitlines()[0]
    assert path.read_bytes()[: 19 * 48] == content[: 19 * 48]
    assert same(start(root), first) and len(decoded) == 40


def test_it_may_be_deleted(root, decoded, tmp_path):
    first = start(root)
    files(tmp_path)[0].unlink()
    assert same(start(root), first) and len(decoded) == 40


def test_of_two_processes_at_once_each_has_its_pictures_and_the_last_ones_stay(tmp_path):
    path = tmp_path / "made"
    with cache.room(path, "", 3, 2) as one, cache.room(path, "", 3, 2) as other:
        assert len(list(tmp_path.iterdir())) == 2
        for room, colour in ((one, 1), (other, 2), (one, 3)):
            room.add(torch.full((3, 2, 2), colour, dtype=torch.uint8))
        one.keep("one", {}, [])
        other.keep("other", {}, [])
        images, others = one.images(), other.images()
    assert images[:, 0, 0, 0].tolist() == [1, 3] and others[:, 0, 0, 0].tolist() == [2]
    found = cache.recall(path, "other", 2)
    assert found is not None and torch.equal(found.images, others)
    assert cache.recall(path, "one", 2) is None
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_after_a_day(root, tmp_path):
    start(root)
    (path,) = files(tmp_path)
    old, young = (path.with_name(f"{name}.partial") for name in ("old", "young"))
    for left, age in ((old, cache.DAY + 60), (young, cache.DAY - 60)):
        left.touch()
        os.utime(left, (time.time() - age,) * 2)
    start(root, Reading(2, bad_files=0.5))
    assert young.exists() and not old.exists()


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_pictures_and_notes_do_not_depend_on_the_number_of_threads(root, capsys, monkeypatch, threads):
    """Some have a fault that Pillow warns of, which it does in whichever thread."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0"
    for i in range(12):
        picture = Image.new("RGB", (8, 8), (i, 20 * i, 0))
        picture.save(root / "dog" / f"fault-{i}.jpg", **({"exif": exif} if i % 3 else {}))
    first, said = start(root), capsys.readouterr().err
    assert "8 of 32 images" in said and "have a fault" in said
    shutil.rmtree(root.parent / "home")
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert same(start(root), first) and capsys.readouterr().err == said


def test_files_that_may_still_change_unseen_are_not_kept(root, decoded, tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "SETTLED", 3600)
    start(root)
    assert files(tmp_path) == []


def test_nothing_is_kept_where_others_can_write_or_there_is_no_home(root, tmp_path, monkeypatch, capsys):
    (tmp_path / "home" / "jepa-study" / "images").mkdir(parents=True)
    (tmp_path / "home" / "jepa-study").chmod(0o777)
    first = start(root)
    assert files(tmp_path) == [] and "others can write there; decoded pictures are not kept" in capsys.readouterr().err
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    assert same(start(root), first) and "there is no home folder; decoded" in capsys.readouterr().err
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("when", ["posix_fallocate", "replace", "fsync"])
def test_a_disk_that_is_full_is_said_and_leaves_no_part(root, tmp_path, monkeypatch, capsys, when):
    first = start(root)
    files(tmp_path)[0].unlink()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, when, full)
    assert same(start(root), first)
    assert files(tmp_path) == []
    words = {"posix_fallocate": "no room for 960 bytes of decoded pictures"}.get(when, "could not be kept")
    assert f"{words} (No space left on device)" in capsys.readouterr().err


def test_pictures_that_fit_neither_on_the_disk_nor_into_memory_are_refused(root, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "posix_fallocate", full)
    monkeypatch.setattr(cache.memory, "free_bytes", lambda *_: 959)
    with pytest.raises(ValueError, match=r"20 images of 4 x 4 pixels need 960 bytes, and 959 are free; give a smaller --size"):
        start(root)


def test_pictures_that_do_not_fit_into_memory_are_decoded_onto_the_disk(root, monkeypatch, tmp_path):
    monkeypatch.setattr(cache.memory, "free_bytes", lambda *_: 0)
    assert len(start(root)["train"][0]) and files(tmp_path)


def test_kept_pictures_are_mapped_read_only(root, tmp_path):
    start(root)
    pictures._decoded.cache_clear()
    mapped = load("folder", root, reading=HALF)["train"].values
    (file,) = files(tmp_path)
    (line,) = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(file))]
    low, high = (int(address, 16) for address in line.split()[0].split("-"))
    assert low <= mapped.data_ptr() < high and line.split()[1].startswith("r--")
