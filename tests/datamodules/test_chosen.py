"""Samples that are gathered a batch ahead are those that lie on the device."""

import numpy as np
import pytest
import torch
from noisy import noisy
from PIL import Image

from datamodules import chosen

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path):
    """A folder of 60 pictures of two classes."""
    draw = np.random.default_rng(0)
    for i in range(60):
        path = tmp_path / "root" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(path)
    return tmp_path / "root"


def data(root, **options):
    made = noisy("folder", root, size=4, directions=8, seeds=[0, 1, 2], batch=32, **options)
    made.setup()
    return made


def gathered(monkeypatch, root, **options):
    monkeypatch.setattr(chosen, "SHARE", 0.0)
    made = data(root, **options)
    assert not any(part.near for part in made._chosen.values())
    return made


def same(one, other):
    return torch.equal(one.x.values, other.x.values) and torch.equal(one.y.values, other.y.values)


@pytest.mark.parametrize("options", [{}, {"flip": True}, {"crop": 0.6}, {"count": 25}])
def test_all_that_is_made_is_the_same_bit_for_bit(root, monkeypatch, options):
    near = data(root, **options)
    assert all(part.near for part in near._chosen.values())
    far = gathered(monkeypatch, root, **options)
    assert near._std == far._std and torch.equal(near._mean_d, far._mean_d)
    for update in (0, 1, 2, 7, 3, 4, 4):  # in turn, and after a jump, as a run that is resumed makes
        assert same(near.pairs(update, CPU), far.pairs(update, CPU))
    for update in (5, 6):
        assert same(near.pairs(update, CPU, 1, 2), far.pairs(update, CPU, 1, 2))
    for one, other in zip(near.moments(), far.moments(), strict=True):
        assert torch.equal(one.Sxx, other.Sxx) and torch.equal(one.Syx, other.Syx)
    for split in ("train", "validation", "test"):
        assert torch.equal(near.clean(split), far.clean(split))
        assert all(map(torch.equal, near.evaluation(split, 1, 2, 7, CPU), far.evaluation(split, 1, 2, 7, CPU)))


def test_each_batch_is_gathered_once_and_before_it_is_asked_for(root, monkeypatch):
    far, asked = gathered(monkeypatch, root), []
    train = far._chosen["train"]
    gather = train._gathered
    monkeypatch.setattr(train, "_gathered", lambda *batch: asked.append(batch) or gather(*batch))
    for update in range(5):
        far.pairs(update, CPU)
        train._next[1].result()
        assert len(asked) == update + 2 and len({str(batch) for batch in asked}) == len(asked)


def test_mean_and_deviation_are_those_of_numpy(root):
    made = data(root)
    train = made._chosen["train"].at(slice(None))[0].double().numpy()
    np.testing.assert_allclose(made._mean_d, train.mean(0), rtol=1e-6)
    np.testing.assert_allclose(made._std, np.sqrt(((train - train.mean(0)) ** 2).mean()), rtol=1e-12)


def test_pictures_that_fit_on_no_device_are_not_copied(root, monkeypatch):
    """Training, validation and test are parts of one file, which stays where it is mapped."""
    far = gathered(monkeypatch, root)
    assert len({part.values.untyped_storage().data_ptr() for part in far._chosen.values()}) == 1


def test_only_the_samples_that_are_used_move_to_a_device(root):
    part = data(root, count=20)._chosen["train"]
    before = part.at(slice(None))
    part.values = part.values.clone()
    part.to(torch.device("meta"))
    assert part.values.shape == (16, 3, 4, 4) and part.rows.shape == (1, 16) and before.shape == (1, 16, 48)
