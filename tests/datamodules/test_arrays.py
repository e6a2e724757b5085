"""Arrays are read as they lie, windows of different splits share no time, and what holds no samples is refused in one line."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import SourcePairs
from datamodules.noise import White
from datamodules.pairings import Lag
from datamodules.sources import Arrays, Source, arrays
from datamodules.sources.windows import Windows


def numbers(*shape, kind=np.float32, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, shape, dtype=kind) if kind == np.uint8 else draw.normal(size=shape).astype(kind)


def npy(root, x, name="x.npy"):
    np.save(root / name, x)
    return root / name


def npz(root, **of):
    np.savez(root / "x.npz", **of)
    return root / "x.npz"


def samples(split):
    """The samples themselves, in the order of the labels."""
    return (split.values if split.rows is None else split.values[split.rows]).numpy()


@pytest.mark.parametrize("shape", [(50, 7), (50, 4, 3), (50, 3, 4, 5)])
@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.float64, np.int16, ">f4"])
def test_rows_are_samples_and_each_is_in_one_split(tmp_path, shape, kind, capsys):
    x = numbers(*shape).astype(kind) if kind != np.uint8 else numbers(*shape, kind=kind)
    source = Arrays(npy(tmp_path, x))
    splits = source.load()
    assert source.shape == list(shape[1:]) and not source.labelled
    expected = x if kind == np.uint8 else x.astype(np.float32)
    found = np.concatenate([samples(splits["train"]), samples(splits["test"])])
    assert found.dtype == expected.dtype and (len(found), splits["test"].count) == (50, 10)
    assert np.array_equal(np.sort(found.reshape(50, -1), 0), np.sort(expected.reshape(50, -1), 0))
    assert ("converted to float32" in capsys.readouterr().err) == (kind not in (np.float32, np.uint8))


def test_a_file_is_mapped_and_what_is_written_to_it_stays_in_memory(tmp_path):
    path = npy(tmp_path, numbers(50, 7))
    split = Arrays(path).load()["train"]
    assert isinstance(arrays._read.__wrapped__(path, (), None)["x"], np.memmap)
    before = path.read_bytes()
    split.values.zero_()
    assert path.read_bytes() == before


def test_labels_go_with_their_rows_evenly_and_groups_stay_whole(tmp_path, capsys):
    labels, groups = np.arange(60) % 3 + 5, np.repeat(np.arange(20)[::-1], 3)
    x = np.stack([labels, groups], 1).astype(np.float32)
    for known in ({}, {"groups": groups}):
        source = Arrays(npz(tmp_path, x=x, labels=labels, **known, notes=np.array(1)))
        splits = source.load()
        assert source.labelled and splits["train"].classes == ("5", "6", "7")
        assert "labels are not 0 to 2" in (said := capsys.readouterr().err) and "notes is not among" in said
        for split in splits.values():
            assert (samples(split)[:, 0] == split.labels.numpy() + 5).all()
        assert splits["test"].labels.bincount().tolist() == [4, 4, 4]
        held = [set(samples(split)[:, 1]) for split in splits.values()]
        assert bool(known) != bool(held[0] & held[1]) and (not known or held[1] == {0, 5, 9, 10})
    pairs = SourcePairs(source, White(0.1))
    pairs.setup()
    used = [pairs._chosen[name].at(slice(None))[0, :, 1] for name in ("train", "validation", "test")]
    assert sum(len(set(part.tolist())) for part in used) == 20 and sum(map(len, used)) == 60


def test_a_test_split_of_its_own_is_used(tmp_path):
    x, test = numbers(40, 3), numbers(9, 3, seed=1)
    made = Arrays(npz(tmp_path, x=x, x_test=test, labels=["a", "b"] * 20, labels_test=["b"] * 8 + ["a"])).load()
    assert np.array_equal(samples(made["train"]), x) and np.array_equal(samples(made["test"]), test)
    assert made["test"].labels.tolist() == [1] * 8 + [0] and made["test"].classes == ("a", "b")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(75, 120), st.integers(1, 3), st.integers(1, 6), st.integers(1, 8), st.booleans())
def test_windows_of_different_splits_share_no_time_and_none_leaves_its_recording(R, T, d, length, step, tested):
    series = torch.arange(R * T * d).float().view(R, T, d)  # whose numbers tell where they lie
    parts = {"train": (series, None)} | ({"test": (series[:1] + 10**6, None)} if tested else {})
    splits = Windows(length, step).splits("x.npy", parts, ())
    assert set(splits) == {"train", "validation", "test"}
    seen = {}
    for name, split in splits.items():
        made = samples(split)
        assert made.shape == (split.count, d, length)
        times = made[:, 0] % 10**6 // d
        assert (times[:, 1:] == times[:, :-1] + 1).all()  # one after the other
        recordings = times // T
        assert (recordings == recordings[:, :1]).all()
        for recording in np.unique(recordings[:, 0]):
            starts = times[recordings[:, 0] == recording, 0]
            assert (np.diff(starts) == step).all()
            assert len(split.groups[recordings[:, 0] == recording].unique()) == 1
        seen[name] = set(made.ravel().tolist())
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not seen[a] & seen[b]


def test_of_one_recording_the_last_parts_in_time_are_held_out_after_a_gap_which_is_said(tmp_path, capsys):
    splits = Arrays(npy(tmp_path, np.arange(1000, dtype=np.float32)), window=10, step=5).load()
    ranges = {name: (samples(split).min(), samples(split).max()) for name, split in splits.items()}
    assert ranges == {"train": (0, 639), "validation": (650, 799), "test": (810, 999)}
    assert capsys.readouterr().err.count("after a gap of 10 time steps") == 2


def test_windows_take_no_memory_of_their_own(tmp_path):
    split = Arrays(npy(tmp_path, numbers(1000, 2)), window=50, step=1).load()["train"]
    assert split.values.untyped_storage().nbytes() == 1000 * 2 * 4


def test_a_window_has_the_label_of_most_of_its_times_or_of_its_recording(tmp_path):
    x, labels = numbers(500, 2), np.repeat([0, 1], 250).reshape(-1)
    labels = np.tile([0, 0, 0, 1, 1], 100)
    made = Arrays(npz(tmp_path, x=x, labels=labels), window=5, step=1).load()
    assert (made["train"].labels == 0).all()
    recordings = Arrays(npz(tmp_path, x=numbers(10, 50, 2), labels=np.arange(10) % 2), window=5).load()
    for split in recordings.values():
        assert len({(int(g), int(label)) for g, label in zip(split.groups, split.labels, strict=True)}) == len(
            split.groups.unique()
        )
    assert recordings["test"].labels.tolist() == [0] * 10 + [1] * 10


def test_a_lag_of_an_autoregressive_series_has_its_covariance_and_rho():
    """x_{t+1} = M x_t + innovation: Syx = M Sxx of any M, symmetric or not, with noise beside it."""
    draw = torch.Generator().manual_seed(0)
    M = torch.tensor([[0.8, 0.3], [-0.3, 0.5]])
    x = torch.zeros(60_000, 2)
    innovations = torch.randn(len(x), 2, generator=draw)
    for t in range(1, len(x)):
        x[t] = M @ x[t - 1] + innovations[t]

    class Series(Source):
        @property
        def shape(self):
            return [2, 1]

        def load(self):
            return Windows(1, 1).splits("series", {"train": (x, None)}, ())

    pairs = SourcePairs(Series(), White(0.5), Lag(2), count=10**6, batch=64)
    pairs.setup()
    (found,) = pairs.moments()
    clean = found.Sxx - 0.25 * torch.eye(2)
    torch.testing.assert_close(found.Syx, (M @ M).double() @ clean, rtol=0, atol=0.05)
    a, b = pairs.pairs(0, torch.device("cpu"))
    assert a.values.shape == b.values.shape == (1, 64, 2) and not torch.equal(a.values, b.values)


def damaged(root, content):
    (root / "x.npy").write_bytes(content)
    return root / "x.npy"


def spoilt(value, kind=np.float32):
    x = numbers(40, 3).astype(kind)
    x[7, 1] = value
    return x


OBJECTS = np.array([[1, "a"], [None, {}]], dtype=object)
BAD = {
    "no file": (lambda p: Arrays(p / "no.npy").load(), "no.npy: no such file; expected a .npy array"),
    "a folder": (lambda p: Arrays(p).load(), "no such file"),
    "objects": (lambda p: Arrays(npy(p, OBJECTS)).load(), "x.npy: cannot be read .holds Python objects, which can run code"),
    "objects in npz": (lambda p: Arrays(npz(p, x=OBJECTS)).load(), "x.npz: cannot be read .holds Python objects, which can run code"),
    "a pickle": (lambda p: Arrays(damaged(p, b"\x80\x04N.")).load(), "x.npy: cannot be read .holds Python objects, which can run code"),
    "half a file": (lambda p: Arrays(damaged(p, npy(p, numbers(9, 3)).read_bytes()[:150])).load(), "x.npy: cannot be read"),
    "an empty file": (lambda p: Arrays(damaged(p, b"")).load(), "x.npy: cannot be read"),
    "no x": (lambda p: Arrays(npz(p, y=numbers(9, 3))).load(), "x.npz: holds y; expected a .npy array"),
    "NaN": (lambda p: Arrays(npy(p, spoilt(np.nan))).load(), "x holds a number in row 7 that is not finite"),
    "infinite": (lambda p: Arrays(npy(p, spoilt(-np.inf))).load(), "x holds a number in row 7 that is not finite"),
    "too large": (lambda p: Arrays(npy(p, spoilt(1e200, np.float64))).load(), "x holds a number in row 7 that is not finite as float32"),
    "complex": (lambda p: Arrays(npy(p, numbers(9, 3).astype(np.complex64))).load(), "x holds complex64; expected numbers"),
    "text": (lambda p: Arrays(npy(p, np.array([["a", "b"]]))).load(), "x holds <U1; expected numbers"),
    "empty": (lambda p: Arrays(npy(p, numbers(0, 3))).load(), r"x is empty, of shape \[0, 3\]"),
    "rank 1": (lambda p: Arrays(npy(p, numbers(9))).load(), r"x has shape \[9\]; expected N vectors.*give --window"),
    "rank 5": (lambda p: Arrays(npy(p, numbers(2, 2, 2, 2, 2))).load(), "x has shape"),
    "images with a window": (lambda p: Arrays(npy(p, numbers(9, 3, 4, 4)), window=2).load(), "with a window expected T, T x d, or R"),
    "a long window": (lambda p: Arrays(npy(p, numbers(9, 3)), window=10).load(), "holds 9 time steps; window must be at most that, found 10"),
    "a short series": (lambda p: Arrays(npy(p, numbers(20, 3)), window=5).load(), "no window of 5 time steps fits into the .* split"),
    "labels of another length": (lambda p: Arrays(npz(p, x=numbers(9, 3), labels=[0, 1])).load(), r"labels have shape \[2\]; expected \[9\]"),
    "labels that are no classes": (lambda p: Arrays(npz(p, x=numbers(2, 3), labels=[0.5, 1])).load(), "labels are float64; expected integers"),
    "labels of one half": (
        lambda p: Arrays(npz(p, x=numbers(9, 3), x_test=numbers(9, 3), labels=[0] * 9)).load(), "labels, x_test and labels_test belong together"),
    "another test shape": (lambda p: Arrays(npz(p, x=numbers(9, 3), x_test=numbers(9, 4))).load(), r"x_test holds samples of shape \[4\] and x of \[3\]"),
    "groups with a window": (lambda p: Arrays(npz(p, x=numbers(90, 3), groups=[0] * 90), window=3).load(), "give R recordings of T x d"),
    "one group": (lambda p: Arrays(npz(p, x=numbers(90, 3), groups=[0] * 90)).load(), "x.npz: training samples of one group"),
    "few rows": (lambda p: Arrays(npy(p, numbers(4, 3))).load(), "x.npy: 4 training samples; expected at least 10"),
    "constant": (lambda p: SourcePairs(Arrays(npy(p, np.ones((90, 3), np.float32)))).setup(), "x.npy: every training sample is the same"),
    "window": (lambda p: Arrays(p, window=0), "window must be at least 1, found 0"),
    "step alone": (lambda p: Arrays(p, step=3), "step = 3 needs windows; give --window too"),
    "a lag without order": (lambda p: SourcePairs(Arrays(npy(p, numbers(90, 3))), pairing=Lag()).setup(), "Lag needs samples in the order"),
    "a long lag": (
        lambda p: SourcePairs(Arrays(npy(p, numbers(90, 3)), window=2), pairing=Lag(40)).setup(), r"a lag of 40 samples .frames, or windows. is too long: the longest recording"),
    "a class that is not in every recording": (
        lambda p: SourcePairs(Arrays(npz(p, x=numbers(10, 20, 2), labels=[0] * 9 + [1]), window=2)).setup(),
        "the validation split of .* samples would hold none of class 1.*at least one for each of train, validation and test"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_holds_no_samples_is_refused_in_one_line(case, tmp_path):
    act, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        act(tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
