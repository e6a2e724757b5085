"""`study spectrum` and `from study import spectrum`: every kind of data and pairing, what is refused, and the page."""

import doctest
import json
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch
from PIL import Image

import study.forecast.command
from study.forecast import end_state, moments
from study.forecast.command import spectrum
from study.forecast.data import Asked
from study.forecast.moments import Blocks

KEYS = {"lam", "rho", "rho_low", "rho_high", "times", "probe", "verdict", "summary"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with small data of every kind."""
    root, draw = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    labels = np.arange(600) % 2
    x = draw.normal(size=(600, 12)).cumsum(1) / 3 + labels[:, None]
    np.save(root / "vectors.npy", x.astype(np.float32))
    np.savez(root / "labelled.npz", x=x.astype(np.float32), y=labels)
    y = 0.8 * x + 0.3 * draw.normal(size=x.shape)
    np.savez(root / "pairs.npz", x=x.astype(np.float32), y=y.astype(np.float32), labels=labels)
    np.savez(root / "larger.npz", x=x.astype(np.float32), y=(5 * y).astype(np.float32), labels=labels)
    pictures = draw.integers(0, 256, (600, 3, 4, 4)).repeat(2, 2).repeat(2, 3)
    pictures = (pictures * 0.4 + 100 * labels[:, None, None, None]).astype(np.uint8)
    np.savez(root / "pictures.npz", x=pictures, labels=labels)
    np.savez(root / "films.npz", x=pictures.repeat(2, 0), groups=np.arange(1200) // 4)
    np.save(root / "series.npy", (draw.normal(size=(6000, 2)).cumsum(0) / 30).astype(np.float32))
    turned = scipy.signal.lfilter([1], [1, -0.95 * np.exp(0.3j)], draw.normal(size=(6000, 2)) @ [1, 1j])
    np.save(root / "turning.npy", np.stack([turned.real, turned.imag], 1).astype(np.float32))
    opposite = [scipy.signal.lfilter([1], [1, -g], draw.normal(size=6000)) for g in (-0.8, 0.9, 0.3, 0.2)]
    np.save(root / "alternating.npy", np.stack(opposite, 1).astype(np.float32))
    broken = x.copy()
    broken[5, 2] = np.nan
    np.save(root / "nan.npy", broken.astype(np.float32))
    np.savez(root / "one.npz", x=x.astype(np.float32), labels=np.zeros(600, int))
    np.save(root / "few.npy", draw.normal(size=(60, 100)).astype(np.float32))
    np.save(root / "seven.npy", draw.normal(size=(9, 3)))
    (root / "empty").mkdir()
    for i in range(40):
        path = root / "folder" / str(i % 2) / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(path)
    return root


QUICK = {"updates": 0, "k": 3}


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("vectors.npy", {}),
        ("labelled.npz", {}),
        ("pairs.npz", {}),
        ("pictures.npz", {"pairing": "crop"}),
        ("pictures.npz", {"pairing": "mask"}),
        ("pictures.npz", {"pairing": "mask", "ratio": 0.25}),
        ("larger.npz", {}),
        ("pictures.npz", {"pairing": "neighbours", "patch": 2}),
        ("films.npz", {"pairing": "frames"}),
        ("series.npy", {"pairing": "lag", "window": 8, "step": 4, "lag": 2}),
        ("folder", {"pairing": "neighbours", "size": 32, "patch": 8}),
    ],
)
def test_every_pairing_has_a_forecast(place, data, options):
    found = spectrum(place / data, k=3, updates=100, **options)
    assert len(found.estimate.rho) == 3 and found.estimate.rho.isfinite().all()
    assert 3 <= len(found.sentences) <= 6
    labelled = data in ("labelled.npz", "pairs.npz", "larger.npz", "pictures.npz", "folder")
    assert bool(found.rows) == labelled
    assert ("there are no labels" in found.sentences[-1]) == (not labelled)


def test_json_has_the_keys_that_are_fixed_and_nothing_else(place, study, capsys):
    from study import cli

    assert cli.main(["spectrum", str(place / "labelled.npz"), "--k", "3", "--updates", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == KEYS and len(found["rho"]) == 3
    assert found["probe"] and all(set(row) == {"labels", "jepa", "mae", "raw"} for row in found["probe"])


def test_the_timed_forecast_names_the_end_state_beside_it(place):
    found = spectrum(place / "labelled.npz", k=3, updates=20)
    text = " ".join(found.sentences)
    assert "This is after 20 updates" in text and "At the end of long training" in text
    end = spectrum(place / "labelled.npz", **QUICK)
    assert found.rows[-1].gap("-end") == end.rows[-1].gap()
    assert "This is the end of long training" in " ".join(end.sentences)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "no such folder or file"),
        (["empty"], "no images"),
        (["nan.npy"], "not finite"),
        (["vectors.npy", "--k", "13"], "k must be from 1 to 12"),
        (["vectors.npy", "--k", "0"], "k must be from 1 to 12"),
        (["vectors.npy", "--pairing", "frames"], "order of a recording"),
        (["folder", "--pairing", "frames"], "training samples of one group"),
        (["folder/0", "--pairing", "frames"], "groups are folders, and no class has any"),
        (["vectors.npy", "--amplitude", "0", "--directions", "2"], "directions = 2 has no effect without a distractor"),
        (["seven.npy"], "needs 10 pairs or more"),
        (["series.npy", "--pairing", "lag"], "give --window"),
        (["series.npy", "--pairing", "lag", "--window", "8", "--lag", "9000"], "too long"),
        (["series.npy", "--pairing", "lag", "--window", "9000"], "window must be at most"),
        (["pictures.npz", "--pairing", "mask", "--ratio", "0"], "at least one hidden"),
        (["pictures.npz", "--pairing", "mask", "--ratio", "1"], "at least one hidden"),
        (["pictures.npz", "--pairing", "mask", "--patch", "3"], "give a divisor"),
        (["vectors.npy", "--pairing", "neighbours"], "patches need pictures"),
        (["pictures.npz", "--pairing", "neighbours", "--patch", "8"], "do not hold two patches"),
        (["vectors.npy", "--pairing", "crop"], "needs images"),
        (["pictures.npz", "--lag", "2"], "lag = 2 has no meaning for pairing noise"),
        (["vectors.npy", "--amplitude", "0", "--sigma", "0"], "every rho is 1"),
        (["vectors.npy", "--directions", "13"], "directions must be from 1 to 12"),
        (["pairs.npz", "--pairing", "crop"], "holds pairs (x, y) already"),
        (["vectors.npy", "--updates", "-1"], "updates must be 0 or more"),
        (["vectors.npy", "--depth", "0"], "depth must be at least 1"),
        (["cifar10"], "root"),
        pytest.param(
            ["pictures.npz", "--lift", "random", "--device", "cuda"], "torch sees no CUDA device here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_forecast_is_refused_in_one_line(place, study, arguments, says):
    code, lines = study("spectrum", place / arguments[0] if (place / arguments[0]).exists() else arguments[0], *arguments[1:])
    errors = [line for line in lines if "error:" in line]
    assert code == 2 and len(errors) == 1 and says in errors[0], lines


@pytest.mark.parametrize(
    ("data", "options", "says"),
    [
        ("one.npz", {}, "labels of one class"),
        ("turning.npy", {"pairing": "lag", "window": 4, "step": 4}, "some features turn between x and y"),
        ("alternating.npy", {"pairing": "lag", "window": 1, "step": 1}, "predicted with the opposite sign (rho down to -0.8"),
        ("pictures.npz", {"pairing": "mask"}, "probes read whole samples"),
    ],
)
def test_what_is_regularised_or_left_out_is_said(place, data, options, says):
    assert says in spectrum(place / data, **QUICK, **options).sentences[-1]


def test_that_pairs_are_few_is_said_first(place):
    assert "pairs are few for 100 inputs" in spectrum(place / "few.npy", **QUICK).sentences[0]


def test_windows_that_overlap_are_named_with_the_lag_at_which_they_do_not(place):
    options = {"pairing": "lag", "window": 8, "step": 2, "k": 2, "updates": 0}
    assert "has 6 of them in common with it" in (found := spectrum(place / "series.npy", **options)).sentences[0]
    assert "--lag 4 for none" in found.sentences[0]
    assert "in common" not in spectrum(place / "series.npy", **options, lag=4).sentences[0]


def test_a_recording_that_is_taken_for_vectors_is_noticed(place):
    assert "Caution: samples are like the next" in spectrum(place / "series.npy", k=1, updates=0).sentences[0]
    assert "Caution" not in spectrum(place / "vectors.npy", **QUICK).sentences[0]


def test_without_labels_the_order_is_the_answer(place):
    found = spectrum(place / "series.npy", pairing="lag", window=8, k=6, updates=0)
    said = next(sentence for sentence in found.sentences if sentence.startswith("Of 16 features, numbered by rho"))
    order = [str(i + 1) for i in np.argsort(found.times["jepa"]) if found.times["jepa"][i] < np.inf]
    assert f"JEPA {', '.join(order[:6])}; MAE" in said


def test_the_order_names_the_distractor_that_mae_learns_first_though_its_rho_is_low():
    """Of 10 directions of rho 0.4 far above the images'; JEPA starts with the highest rho."""
    found = spectrum("builtin", size=8, count=3000, directions=10, k=16, updates=0)
    first = {name: np.argsort(times, kind="stable")[:10] for name, times in found.times.items()}
    assert len(found.times["mae"]) == 192 and (first["mae"] >= 16).sum() > 5 and (first["jepa"] < 32).all()
    assert found.agreement < 0.8
    assert len(found.as_json()["times"]["mae"]) == 16


def test_dimensions_that_never_vary_are_counted(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(500, 9))
    y = 0.7 * x + draw.normal(size=x.shape)
    x[:, :2] = y[:, :2] = 1
    np.savez(tmp_path / "pairs.npz", x=x, y=y)
    assert "x varies in 7 of 9 dimensions" in spectrum(tmp_path / "pairs.npz", **QUICK).sentences[-1]


def test_numbers_that_follow_from_others_vary_in_no_dimension_of_their_own(tmp_path):
    """What float32 leaves of them is rounding, whose rho would be anything."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(3000, 11))
    y = 0.7 * x + 0.3 * draw.normal(size=x.shape)
    mixed = np.logspace(0, -1.5, 11)[:, None] * draw.normal(size=(11, 12))
    np.savez(tmp_path / "pairs.npz", x=x @ mixed, y=y @ mixed)
    found = spectrum(tmp_path / "pairs.npz", k=11, updates=0)
    assert "x varies in 11 of 12 dimensions" in found.sentences[-1]
    assert 0.6 < float(found.estimate.rho.min()) < float(found.estimate.rho.max()) < 0.9


def test_what_chance_makes_of_few_pairs_is_neither_opposite_nor_above_a_copy(tmp_path):
    draw = np.random.default_rng(0)
    common = draw.normal(size=(240, 40)) * np.sqrt([0.98] * 3 + [0.2] * 37)
    x, y = (common + draw.normal(size=common.shape) * np.sqrt([0.02] * 3 + [0.8] * 37) for _ in range(2))
    np.savez(tmp_path / "pairs.npz", x=x, y=y)
    found = spectrum(tmp_path / "pairs.npz", k=3, updates=0)
    said = " ".join(found.sentences)
    assert "opposite sign" not in said and "above the 1 of a copy" not in said
    assert "154 pairs are few for 40 inputs that vary" in said
    assert bool((found.estimate.rho_low < 0.98).all()) and bool((found.estimate.rho_high > 0.98).all())


def test_what_is_hidden_is_counted_in_whole_patches(place):
    found = spectrum(place / "pictures.npz", pairing="mask", ratio=0.3, **QUICK)
    assert "3 visible patches and 1 hidden ones" in found.about


def test_what_turns_has_its_modulus_or_a_caution(place, monkeypatch):
    asked = {**QUICK, "pairing": "lag", "window": 4, "step": 4}
    found = spectrum(place / "turning.npy", **asked)
    assert float(found.estimate.rho[1]) == pytest.approx(0.95**4, rel=0.1)
    assert "Caution" not in found.sentences[0]
    for module in (end_state, moments):
        monkeypatch.setattr(module, "SEARCHED", 4)
    found = spectrum(place / "turning.npy", **asked)
    assert "Caution: the cross-covariance is not symmetric" in found.sentences[0]
    assert float(found.estimate.rho[0]) < 0.7


def test_pairs_that_are_given_have_their_own_moments(place):
    data = Asked().pairs(place / "pairs.npz")
    data.setup()
    found = Blocks.streamed(data).moments()
    chosen = data._chosen["train"]
    with np.load(place / "pairs.npz") as arrays:
        x, y = (torch.from_numpy(arrays[name][(chosen.rows[0] // 2).numpy()]).double() for name in ("x", "y"))
        x_mean, y_mean = (torch.from_numpy(arrays[name].mean(0)).double() for name in ("x", "y"))
    assert torch.equal(chosen.rows[1], chosen.rows[0] + 1)
    y += x_mean - y_mean
    x, y = ((of - data._mean_d) / data._std for of in (x, y))
    torch.testing.assert_close(found.Syx, y.mT @ x / len(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.Sxx, x.mT @ x / len(x), rtol=1e-4, atol=1e-4)


def test_masks_act_on_the_noisy_samples(place):
    noisy = Asked(amplitude=2.0, directions=4, sigma=0.3).pairs(place / "pictures.npz")
    noisy.setup()
    data = Asked("mask", amplitude=2.0, directions=4, sigma=0.3).pairs(place / "pictures.npz")
    data.setup()
    whole, masked = Blocks.streamed(noisy), Blocks.streamed(data)
    torch.testing.assert_close(masked.whole().Syx, whole.moments().Syx)
    torch.testing.assert_close(masked.moments().Syx, data.mask.moments(whole.moments()).Syx)
    torch.testing.assert_close(masked.moments([0, 2]).Sxx, data.mask.moments(whole.moments([0, 2])).Sxx)


def test_the_page_is_whole_by_itself(place, study, tmp_path):
    code, lines = study("spectrum", place / "labelled.npz", "--k", 3, "--updates", 20, "--out", tmp_path / "page")
    assert code == 0 and any("page:" in line for line in lines), lines
    (made,) = (tmp_path / "page" / "forecasts").glob("labelled.npz-*.html")
    text = made.read_text()
    assert text.count("data:image/svg+xml;base64,") == 4
    assert not re.search(r'(src|href)="(?!data:)', text)
    for heading in (
        "Who wins",
        "Over the training",
        "Features by lambda and rho",
        "In which order",
        "What the noise would have to be",
    ):
        assert heading in text


def test_no_forecast_takes_the_place_of_another_and_the_page_of_all_results_has_them(place, study, tmp_path):
    asked = ("spectrum", place / "labelled.npz", "--updates", 0, "--out", tmp_path)
    for k in (2, 3, 3):
        assert study(*asked, "--k", k)[0] == 0
    pages = list((tmp_path / "forecasts").glob("*.html"))
    assert len(pages) == 2
    (tmp_path / "forecasts" / "broken.json").write_text("{")
    code, lines = study("report", "--out", tmp_path)
    assert code == 0 and any("broken.json: left out" in line for line in lines), lines
    index = (tmp_path / "report" / "index.html").read_text()
    assert all(f"../forecasts/{page.name}" in index for page in pages)


def test_the_cells_of_other_noise_are_its_end_states(place):
    options = {"k": 3, "updates": 0, "directions": 2}
    found = spectrum(place / "labelled.npz", **options, amplitude=2.0, change=True)
    assert len(found.change) == 25
    (cell,) = [cell for cell in found.change if cell.amplitude == 4.0 and cell.gamma == 0.8]
    other = spectrum(place / "labelled.npz", **options, amplitude=4.0, gamma=0.8)
    assert cell.gap == pytest.approx(other.rows[-1].gap()[0], abs=1e-9)


def test_it_can_be_plotted(place):
    figure = spectrum(place / "labelled.npz", **QUICK).plot()
    assert len(figure.axes) == 4  # the plane of both objectives, the probes, the colours
    assert len(spectrum(place / "vectors.npy", **QUICK).plot().axes) == 3


def test_the_example_of_the_documentation_is_right():
    from study import spectrum as imported

    assert imported is spectrum
    tests = doctest.DocTestFinder().find(spectrum, "spectrum", study.forecast.command)
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in tests:
        results.run(test)
    assert results.summarize(verbose=False) == (0, 5)


def test_a_name_that_there_is_not_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        study.nothing  # noqa: B018


def test_where_a_folder_holds_tables_they_are_read(tmp_path):
    Path(tmp_path / "train.parquet").touch()
    with pytest.raises(ValueError, match="not a readable parquet"):
        spectrum(tmp_path)
