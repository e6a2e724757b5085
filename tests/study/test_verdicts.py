"""Verdicts: what holds, what is refuted, what is neither, and what is no claim at all."""

import json
import math
from multiprocessing import get_context

import pytest

from study import bench, cli
from study.bench.base import Row
from study.experiments import EXPERIMENTS, flips
from study.experiments.verdict import HOLDS, INCONCLUSIVE, MEASUREMENT, REFUTED, Region, above, around, below, counted, judge
from study.launch import launcher, store
from study.report import page
from study.running.lock import in_turn


@pytest.mark.parametrize(
    ("region", "low", "high", "n", "verdict"),
    [
        (Region(at_least=8), 8.0, 9.0, 5, HOLDS),
        (Region(at_least=8), 7.9, 20.0, 5, INCONCLUSIVE),
        (Region(at_least=8), -20.2, 32.7, 2, INCONCLUSIVE),
        (Region(at_least=8), -20.2, 7.9, 2, REFUTED),
        (Region(at_most=0.05), -1.0, 0.05, 2, HOLDS),
        (Region(at_most=0.05), -math.inf, math.inf, 1, INCONCLUSIVE),
        (Region(at_least=0.9), 1.0, 1.0, 1, INCONCLUSIVE),
        (Region(at_least=0.9), 0.0, 0.0, 1, INCONCLUSIVE),
        (Region(at_least=0.9), math.nan, math.nan, 0, INCONCLUSIVE),
        (Region(at_least=0.9), math.nan, math.nan, 9, INCONCLUSIVE),
        (Region(at_most=1e-3), math.inf, math.inf, 9, REFUTED),
        (around(1, 0.25), 0.75, 1.25, 4, HOLDS),
        (around(1, 0.25), 0.5, 1.5, 4, INCONCLUSIVE),
        (around(1.18, 0.005), 1.181, 1.181, None, HOLDS),
        (around(1.18, 0.005), 1.186, 1.186, None, REFUTED),
        (above(0), 0.0, 1.0, 4, INCONCLUSIVE),
        (above(0), 1e-300, 1.0, 4, HOLDS),
        (below(1), 0.5, 1.0, 4, INCONCLUSIVE),
        (below(1), 1.0, 1.0, 4, REFUTED),
    ],
)
def test_a_claim_holds_inside_is_refuted_outside_and_else_inconclusive(region, low, high, n, verdict):
    assert judge(region, low, high, n) == verdict


def test_all_verdicts_are_counted_and_measurements_are_no_claims():
    assert counted([HOLDS, HOLDS, REFUTED, INCONCLUSIVE]) == "2 of 4 claims hold, 1 refuted, 1 inconclusive"
    assert counted([HOLDS, MEASUREMENT]).startswith("1 of 1 claims hold, 0 refuted, 0 inconclusive; 1 measurement")
    assert counted([MEASUREMENT]) == "1 measurement under other conditions"
    assert counted([]) == "0 of 0 claims hold, 0 refuted, 0 inconclusive"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_defaults_are_the_conditions_of_the_claims(name):
    assert EXPERIMENTS[name]().outside() == ""


@pytest.mark.parametrize(
    ("name", "options", "outside"),
    [
        ("pixels", {"amplitude": 0.0}, "amplitude = 0.0"),
        ("pixels", {"seeds": 2, "rates": (1e-4,), "images": "cifar10", "root": "data", "device": "cuda"}, ""),
        ("pixels", {"updates": 5, "batch": 16}, "updates = 5, batch = 16"),
        ("pixels", {"distractor": "patch"}, "distractor = patch"),
        ("dynamics", {"eps": 0.01, "depths": [1, 2]}, "eps = 0.01"),
        ("flips", {"pairs": 3, "seed": 7, "tolerance": 1e-9}, ""),
        ("flips", {"tolerance": 1e-3}, "tolerance = 0.001, above 1e-06"),
        ("takeover", {"eps": 1e-3, "tolerance": 1e-6}, "tolerance = 1e-06, above 1e-09, eps = 0.001"),
    ],
)
def test_other_options_than_the_free_ones_leave_the_conditions(name, options, outside):
    assert EXPERIMENTS[name](**options).outside() == outside


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(flips, "DEPTHS", (1, 2))


def strict(text):
    """Read as a parser does that knows JSON alone."""
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))


def test_few_pairs_decide_nothing_and_do_not_fail(runs, execution, small, study, capsys):
    execution(runs, 0)
    code, lines = study("claims", "--out", runs)
    assert (code, lines) == (0, [])
    study("report", "--out", runs)
    made = strict((runs / "claims.json").read_text())
    assert all(claim["measured"] == 1 and claim["low"] < claim["at_least"] for claim in made)
    assert {claim["verdict"] for claim in made} == {INCONCLUSIVE}
    assert "0 of 3 claims hold, 0 refuted, 3 inconclusive" in page.place(runs).read_text()


def test_a_refuted_claim_is_counted_everywhere_and_gives_exit_code_1(runs, execution, small, capsys):
    execution(runs, 0, early=10.0)
    execution(runs, 1)
    assert cli.main(["claims", "--out", str(runs)]) == 1
    text = capsys.readouterr().out
    assert "REFUTED       flips/depth-jepa" in text and "0 of 6 claims hold, 3 refuted, 3 inconclusive" in text
    assert cli.main(["claims", "--json", "--out", str(runs)]) == 1
    made = strict(capsys.readouterr().out)
    assert [claim["verdict"] for claim in made].count(REFUTED) == 3
    assert cli.main(["report", "--out", str(runs)]) == 0
    text = page.place(runs).read_text()
    assert "0 of 6 claims hold, 3 refuted, 3 inconclusive" in text
    assert '<h2 id="refuted">Refuted: 3</h2>' in text and 'class="refuted">refuted</td>' in text


def test_other_conditions_make_measurements_that_nothing_counts(runs, execution, small, capsys):
    execution(runs, 0, early=10.0, eps=2e-3)
    assert cli.main(["claims", "--out", str(runs)]) == 0
    text = capsys.readouterr().out
    assert "flips with eps = 0.002: measurements" in text and "claims hold" not in text and "3 measurements" in text
    assert cli.main(["report", "--out", str(runs)]) == 0
    assert "Measurements only: eps = 0.002 leaves the conditions" in page.place(runs).read_text()


def test_one_repetition_decides_nothing(runs, execution, small, study):
    for early, out in ((1.0, runs), (10.0, runs / "early")):
        execution(out, 0, early=early, pairs=1)
        assert study("report", "--out", out)[0] == study("claims", "--out", out)[0] == 0
        made = strict((out / "claims.json").read_text())
        assert {(claim["n"], claim["verdict"]) for claim in made} == {(1, INCONCLUSIVE)}


def test_claims_of_an_unbounded_interval_are_json(runs, execution, small, monkeypatch, study):
    monkeypatch.setattr(flips, "binomial", lambda successes, trials: (-math.inf, math.nan))
    execution(runs, 0)
    study("report", "--out", runs)
    for claim in strict((runs / "claims.json").read_text()):
        assert (claim["low"], claim["high"], claim["at_most"]) == (None, None, None)
    assert study("claims", "--out", runs) == (0, []), "as the tables give them"


def test_a_benchmark_without_a_finite_number_is_json(monkeypatch, capsys):
    row = Row("times", "case", "method", "s", median=math.inf, share=math.nan)
    monkeypatch.setattr(bench, "benchmark", lambda name: lambda device: [row])
    assert cli.main(["bench", "times", "--json"]) == 0
    assert strict(capsys.readouterr().out)[0]["median"] is None


MANY = "10000000000000"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dynamics", "--depths", "[1,1]"], "depths must be among 1, 2, 3, 4, each once, found [1, 1]"),
        (["dynamics", "--depths", "1,deep"], "depths"),
        (["dynamics", "--seeds", MANY], f"seeds must be at least 1 and at most 100,000, found {MANY}"),
        (["flips", "--pairs", MANY], f"pairs must be at least 1 and at most 100,000, found {MANY}"),
        (["flips", "--seed", "-1"], "seed must be at least 0"),
        (["bottleneck", "--networks", MANY], "networks must be at least 1 and at most 100,000"),
        (["bottleneck", "--seed", "-1"], "seed must be at least 0"),
        (["noncommuting", "--networks", MANY], "networks must be at least 2 and at most 100,000"),
        (["generative", "--seeds", MANY], "seeds must be at least 1 and at most 100,000"),
        (["robustness", "--seeds", MANY], "seeds must be at least 2 and at most 100,000"),
        (["takeover", "--seeds", MANY], "seeds must be at least 2 and at most 100,000"),
        (["phases", "--points", MANY], "points must be at least 1 and at most 300"),
        (["pixels", "--seeds", MANY], "seeds must be at least 1 and at most 100,000"),
        (["pixels", "--size", "-16"], "size must be at least 1 and at most 1,024, found -16"),
        (["pixels", "--size", "0"], "size must be at least 1"),
        (["pixels", "--count", "3"], "count must be at least 10"),
        (["pixels", "--updates", "0"], "updates must be at least 1"),
        (["pixels", "--updates", MANY], "updates must be at least 1"),
        (["pixels", "--batch", "0"], "batch must be at least 1"),
        (["pixels", "--distractor", "grid"], "Expected a typing.Literal['global', 'patch', 'smooth']"),
        (["pixels", "--sigma", "0"], "sigma must be finite and positive, found 0"),
        (["pixels", "--amplitude", "-1"], "amplitude must be finite and not negative, found -1"),
        (["pixels", "--rates", "[]"], "rates must be positive learning rates, each once, found []"),
        (["pixels", "--rates", "[nan]"], "nan"),
        (["pixels", "--rates", "[1e-4,1e-4]"], "rates must be positive learning rates, each once"),
        (["pixels", "--rates", "small,large"], "rates"),
    ],
)
def test_impossible_options_are_refused_before_anything_starts(arguments, message, runs, study, monkeypatch):
    monkeypatch.setattr(launcher, "perform", lambda *a: pytest.fail("it started"))
    code, lines = study("run", *arguments, "--device", "cpu", "--out", runs)
    assert code == 2 and len(lines) == 1 and lines[0].startswith("study: error: ") and message in lines[0]
    assert len(lines[0]) < 200
    assert not runs.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 6}, "images are 32 x 32 pixels; size must divide both alike, found 6"),
        ({"distractor": "patch", "size": 2, "directions": 4}, "size must be a multiple of 4, the side of a patch"),
        ({"distractor": "patch", "directions": 100}, "directions must be a multiple of the 16 patches"),
        ({"directions": 1000}, r"directions must be from 1 to 768 \(the inputs\), found 1000"),
        ({"root": "data"}, "root = .*data has no meaning for images builtin; leave it out"),
        ({"images": "parquet"}, "images parquet need root; give --root"),
        ({"images": "arrays", "root": "x.npy", "size": 8}, "size = 8 has no meaning for images arrays; leave it out"),
        ({"images": "arrays", "root": "x.npy"}, "x.npy: no such file; expected a .npy array"),
        ({"images": "no.such.Class"}, "no.such.Class: there is no module 'no' on Python's path"),
    ],
)
def test_options_that_do_not_fit_the_samples_are_refused_before_the_first_run(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        next(EXPERIMENTS["pixels"](**options).plan())
    assert "\n" not in str(caught.value)


def test_claims_json_may_be_deleted_and_report_writes_it(runs, execution, small, study):
    execution(runs, 0)
    study("report", "--out", runs)
    before = (runs / "claims.json").read_bytes()
    (runs / "claims.json").unlink()
    assert study("claims", "--out", runs) == (0, [])
    assert study("report", "--out", runs)[0] == 0
    assert (runs / "claims.json").read_bytes() == before
    (runs / "claims.json").write_text("[]")
    assert study("claims", "--out", runs)[0] == 1
    assert study("report", "--out", runs)[0] == 0
    assert study("claims", "--out", runs) == (0, [])


def test_who_waits_for_another_sees_its_results(runs, execution, small, monkeypatch, study):
    """A second execution ends just before a report's turn has come: its claims are not lost."""
    execution(runs, 0)
    in_turn = page.in_turn

    def late(path):
        execution(runs, 1)
        return in_turn(path)

    monkeypatch.setattr(page, "in_turn", late)
    assert study("report", "--out", runs)[0] == 0
    assert len(strict((runs / "claims.json").read_text())) == 2 * 3 == 3 * len(store.records(runs))


def test_claims_and_page_are_written_by_one_process_at_a_time(runs, execution, small, capfd):
    execution(runs, 0)
    report = get_context("fork").Process(target=cli.main, args=(["report", "--out", str(runs)],))
    with in_turn(runs / "claims.lock"):
        report.start()
        report.join(3)
        assert report.is_alive() and not (runs / "claims.json").exists() and not page.place(runs).exists()
    report.join(120)
    assert "claims.lock: waiting for another process" in capfd.readouterr().err
    assert report.exitcode == 0 and (runs / "claims.json").exists() and page.place(runs).exists()
