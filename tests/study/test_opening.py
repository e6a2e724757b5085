"""What the page says of results: no more than they do. And what it folds and draws again is what was there."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from study.experiments.base import Claim
from study.experiments.comparison import ALL, Comparison
from study.experiments.verdict import HOLDS, INCONCLUSIVE, MEASUREMENT, REFUTED
from study.report import opening
from study.report.groups import groups
from study.report.series import panels
from study.report.symbols import used

CLAIM = Claim("pixels/share", "pixels", "the share", "theory", "<= 0.05", -np.inf, 0.05, 0.01, 0.0, 0.02, 5, "", HOLDS)


def compared(seeds=5, probes=True, few=False):
    by = {"JEPA": 30.0, "MAE": 20.0, "random encoder": 13.0, "raw pixels": 36.0}
    measured = {name: value + 0.1 * np.arange(seeds) for name, value in by.items()}
    labels = (["100"] if few else []) + [ALL]
    shares = {"JEPA": np.full(seeds, 0.01), "MAE": np.full(seeds, 0.9)}
    return Comparison("CIFAR-10", "ReLU network", "K = 128", {}, shares, dict.fromkeys(labels, measured) if probes else {})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([{}, {}], "All 2 claims made of it hold."),
        ([{}, {"verdict": REFUTED}], "Of the claims made of it 1 of 2 hold, 1 refuted, 0 inconclusive."),
        ([{"verdict": INCONCLUSIVE}], "0 of 1 hold, 0 refuted, 1 inconclusive."),
        (
            [{"verdict": MEASUREMENT, "outside": "gamma = 0.9"}],
            "No claim is judged by it, as gamma = 0.9 leaves the conditions",
        ),
        ([], "No claim was made of it."),
    ],
)
def test_the_answer_says_how_its_claims_came_out(changes, says):
    text = opening.found(compared(), [dataclasses.replace(CLAIM, **change) for change in changes])
    assert says in text and "+10.0 points" in text and "0.010 ± 0.000 as JEPA" in text


def test_one_seed_has_no_interval_and_no_labels_no_probe():
    assert "+10.0 points (one seed)" in opening.found(compared(1), [CLAIM])
    assert "probe" not in opening.found(compared(probes=False), [CLAIM])


def test_limits_name_what_did_better_and_what_was_not_measured():
    text = opening.limits(compared())
    assert "the raw pixels give 36.2 %, more than either encoder" in text and "few labels were not measured" in text
    assert "with 100 labels it is 30.2 % against 20.2 % (raw pixels 36.2 %)" in opening.limits(compared(few=True))


def test_what_was_not_measured_is_named_with_the_command_that_does():
    assert "`study run pixels`" in opening.missing() and "`study run linear`" in opening.theory([])
    refuted = dataclasses.replace(CLAIM, experiment="flips", verdict=REFUTED)
    assert opening.theory([refuted, CLAIM]).endswith(
        "1 of 2 claims hold, 1 refuted, 0 inconclusive; refuted are predictions of flips."
    )


def test_claims_that_say_the_same_are_folded_and_none_is_lost():
    made = [
        dataclasses.replace(
            CLAIM, id=f"dynamics/error-{o}-L{L}", statement=f"{o.upper()}, depth {L}: the worst error over time is small"
        )
        for o in ("jepa", "mae")
        for L in (1, 2)
    ]
    (first, second) = groups([*made, dataclasses.replace(CLAIM, id="dynamics/first", statement="alone")])
    assert first.title == "the worst error over time is small" and first.counts == {HOLDS: 4}
    assert [own for own, _ in first.claims] == ["JEPA, depth 1", "JEPA, depth 2", "MAE, depth 1", "MAE, depth 2"]
    assert second.title == "alone" and [claim for _, claim in first.claims] == made


def test_a_figure_is_read_back_as_the_numbers_that_were_drawn():
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3], [1.0, 4.0, 9.0], "--", color="#0b6e99", label="squares")
    axes.plot([2, 2, 3], [5.0, 6.0, 7.0], ".", label="_dots")
    axes.fill_between([1, 2, 3], [0, 1, 2], [1, 2, 3], color="red", alpha=0.2)
    axes.axhline(0.5, color="grey")
    axes.bar([4, 5], [1, 2], label="_bars")
    axes.errorbar([6], [2.0], ([0.5], [1.0]), fmt="o", capsize=2)
    axes.set(xlabel="x", ylabel="y", title="title", xscale="log")
    (panel,) = panels(figure)
    assert (panel["title"], panel["x"]["label"], panel["x"]["log"], panel["y"]["log"]) == ("title", "x", True, False)
    found = {
        kind: [s for s in panel["series"] if s["kind"] == kind] for kind in ("line", "points", "band", "rule", "bar", "error")
    }
    (line,) = found["line"]
    assert (line["x"], line["y"], line["name"], line["legend"]) == ([1, 2, 3], [1, 4, 9], "squares", True) and line["dash"]
    assert [(s["x"], s["y"], s["name"]) for s in found["points"]] == [
        ([2, 3], [5, 7], "dots"),
        ([2], [6], "dots"),
        ([6], [2], ""),
    ]
    assert [(s["x"], s["y"], s["high"]) for s in found["band"]] == [([1, 2, 3], [0, 1, 2], [1, 2, 3])]
    assert [s["y"] for s in found["rule"]] == [[0.5]] and [(s["x"], s["y"]) for s in found["bar"]] == [([4], [1]), ([5], [2])]
    assert [(s["x"], s["y"], s["high"]) for s in found["error"]] == [([6], [1.5], [3])]


@pytest.mark.parametrize(
    "draw",
    [
        lambda a: a.imshow([[1, 2]]),
        lambda a: a.scatter([1, 2], [1, 2], c=[1, 2]),
        lambda a: a.scatter([1, 2], [1, 2], s=[1, 2]),
    ],
)
def test_a_figure_whose_colours_or_areas_tell_something_stays_as_it_is(draw):
    figure = Figure()
    draw(figure.subplots())
    assert panels(figure) == []


def test_symbols_are_explained_where_they_stand_and_only_there():
    assert set(used("gain over eps at L = 2")) == {"gain", "eps (ε)", "L"}
    assert not used("A plain sentence.")
