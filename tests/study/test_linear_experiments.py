"""Every experiment on linear networks, small, through the command line: runs, claims, figures, page."""

import itertools
import json

import numpy as np
import pytest

from study import cli
from study.experiments import (
    LINEAR,
    bottleneck,
    critical_times,
    ema,
    flips,
    generative,
    noncommuting,
    phases,
    predictor_rate,
    robustness,
    takeover,
    teacher,
    weight_decay,
)
from study.experiments.flips import flip_depth
from study.experiments.verdict import HOLDS, INCONCLUSIVE, Region, judge

SMALL = {
    "critical_times": ["--tolerance", "1e-5"],
    "phases": ["--points", "2", "--tolerance", "1e-4"],
    "takeover": ["--seeds", "2"],
    "flips": ["--pairs", "3", "--tolerance", "1e-4"],
    "generative": ["--seeds", "2", "--tolerance", "1e-4"],
    "noncommuting": ["--networks", "3", "--tolerance", "1e-4"],
    "predictor_rate": ["--tolerance", "1e-5"],
    "weight_decay": ["--tolerance", "1e-5"],
    "ema": ["--tolerance", "1e-6"],
    "teacher": ["--seeds", "2", "--tolerance", "1e-5"],
    "bottleneck": ["--networks", "3", "--tolerance", "1e-4"],
    "robustness": ["--seeds", "2", "--tolerance", "1e-4"],
}


def test_every_linear_experiment_is_here():
    assert set(LINEAR) == {*SMALL, "dynamics"}  # which has tests of its own


@pytest.mark.parametrize("name", SMALL)
def test_an_experiment_runs_and_makes_its_page(name, runs, monkeypatch, capsys):
    monkeypatch.setattr(critical_times, "EPS", {2: (1e-2, 1e-4)})
    monkeypatch.setattr(critical_times, "SLOWDOWNS", dict(itertools.islice(critical_times.SLOWDOWNS.items(), 2)))
    monkeypatch.setattr(phases, "DEPTHS", (1, 4))
    monkeypatch.setattr(takeover, "CASES", (("jepa", 2), ("mae", 3)))
    monkeypatch.setattr(flips, "DEPTHS", (1, 2, 3))
    monkeypatch.setattr(generative, "SAMPLES", (1000,))
    monkeypatch.setattr(noncommuting, "DEPTHS", (2,))
    monkeypatch.setattr(bottleneck, "DEPTHS", (2,))
    monkeypatch.setattr(predictor_rate, "DEPTHS", (1, 2))
    monkeypatch.setattr(weight_decay, "DEPTHS", (1, 2))
    monkeypatch.setattr(ema, "DEPTHS", (1,))
    monkeypatch.setattr(teacher, "DEPTHS", (1, 2))
    monkeypatch.setattr(teacher, "PAIRS", 1)
    monkeypatch.setattr(robustness, "MEASUREMENTS", 50)
    monkeypatch.setattr(robustness, "INITS", {"balanced": {}, "ordinary": {"init": "normal"}})
    monkeypatch.setattr(robustness, "OPTIMISERS", {v: robustness.OPTIMISERS[v] for v in ("large steps", "momentum 0.9")})
    assert cli.main(["run", name, "--device", "cpu", "--out", str(runs), *SMALL[name]]) == 0
    made = json.loads((runs / "claims.json").read_text())
    assert made
    assert all(np.isfinite(c["measured"]) for c in made if c["n"])
    page = (runs / "report" / "experiments" / f"{name}.html").read_text()
    assert "<svg" in page
    assert "img-src data:" in page, "colour bars are images within the SVG"
    capsys.readouterr()
    if name in ("critical_times", "takeover", "flips", "ema", "predictor_rate"):
        ends = [(c["id"], [-np.inf if c[k] is None else c[k] for k in ("at_least", "low")],
                 [np.inf if c[k] is None else c[k] for k in ("at_most", "high")], c["n"]) for c in made]  # fmt: skip
        found = {name: judge(Region(least, most), low, high, n) for name, (least, low), (most, high), n in ends}
        # Of three pairs, or two, nothing follows about a share.
        expected = {"flips": INCONCLUSIVE}.get(name, HOLDS)
        assert {i: v for i, v in found.items() if v != expected} == {}


def test_flip_depth_is_the_first_depth_after_which_a_stays_first():
    first = np.array(
        [[0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]]
    )
    assert flip_depth(first.astype(bool)).tolist() == [9, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flips", "--pairs", "0"], "pairs must be at least 1"),
        (["flips", "--eps", "0.5"], "half the smallest fixed point"),
        (["flips", "--pairs", "1", "--seed", "1"], "lie at the boundary"),
        (["phases", "--points", "0"], "points must be at least 1"),
        (["takeover", "--seeds", "1"], "seeds must be at least 2"),
        (["teacher", "--seeds", "1"], "seeds must be at least 2"),
        (["takeover", "--eps", "0.5"], "eps must be positive and below 0.01"),
        (["noncommuting", "--networks", "1"], "networks must be at least 2"),
        (["phases", "--tolerance", "2"], "tolerance must lie in (0, 1), found 2"),
        (["linear", "--points", "3"], "--points"),
    ],
)
def test_bad_options_give_one_line(arguments, message, runs, capsys):
    try:
        code = cli.main(["run", *arguments, "--out", str(runs)])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(runs.rglob("config.yaml"))
