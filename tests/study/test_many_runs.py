"""Thousands of finished runs: claims and page come in seconds, from the tables, and stay small.

The whole measure: python -m pytest tests/study/test_many_runs.py -m slow -s
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from study import cli
from study.experiments import flips
from study.launch import store
from study.launch.pool import pool
from study.report import kept, page, section, summary
from study.running.result import Result

# In a small process between this large one and the command, as a process starts with the peak memory of the one it comes from.
MEASURE = """
import json, resource, subprocess, sys, time
start = time.monotonic()
subprocess.run([sys.executable, "-m", "study.cli", *sys.argv[1:]], stdout=subprocess.DEVNULL, check=True)
print(json.dumps([time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]))
"""


@pytest.fixture
def few(runs, execution, monkeypatch):
    """Eight executions of four runs."""
    monkeypatch.setattr(flips, "DEPTHS", (1, 2))
    for seed in range(8):
        execution(runs, seed, early=10.0 if seed % 2 else 1.0)
    return runs


@pytest.fixture
def read(monkeypatch):
    """The tables that were read."""
    made, read_table = [], Result._read

    def noted(result):
        made.append(result.path)
        return read_table(result)

    monkeypatch.setattr(Result, "_read", noted)
    return made


def test_a_table_is_read_once_and_then_not_until_it_changes(few, execution, read):
    page.render(store.records(few), few)
    assert len(read) == len(set(read)) == 32
    page.render(store.records(few), few)
    made = summary.claims(store.records(few))
    assert len(read) == 32
    execution(few, 3)
    again = summary.claims(store.records(few))
    assert len(set(read[32:])) == len(read[32:]) == 4
    assert made != again and len(made) == len(again)


def test_claims_that_were_kept_are_those_of_the_tables(few):
    computed = [claim for record in store.records(few) for claim in record.experiment().claims(record.results())]
    assert summary.claims(store.records(few)) == summary.claims(store.records(few)) == computed


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"key": 1, "sha256": 2, "summary": 3}'])
def test_damage_to_what_was_kept_does_no_harm(few, damage):
    before = summary.claims(store.records(few))
    for path in (few / "cache" / "flips").iterdir():
        path.write_bytes(damage)
    assert summary.claims(store.records(few)) == before


def test_a_forged_claim_is_not_believed(few):
    before = summary.claims(store.records(few))
    forged = 0
    for path in (few / "cache" / "flips").iterdir():
        content = path.read_text()
        forged += content.count('"verdict": "refuted"')
        path.write_text(content.replace('"verdict": "refuted"', '"verdict": "holds"'))
    assert forged
    assert summary.claims(store.records(few)) == before


def test_other_code_computes_anew(few, read, monkeypatch):
    summary.claims(store.records(few))
    monkeypatch.setattr(kept, "_code", lambda: "other")
    summary.claims(store.records(few))
    assert len(read) == 64


def test_the_page_stays_small(few, monkeypatch):
    drawn, svg = [], section.svg
    monkeypatch.setattr(section, "svg", lambda figure, name: drawn.append(name) or svg(figure, name))
    page.render(store.records(few), few)
    text = page.place(few, "flips").read_text()
    assert text.count("<svg") == len(drawn) == page.SHOWN
    assert text.count(">8 s (4 runs, 24 networks)") == page.SHOWN
    assert "All 8 executions" in text and "32 runs of 192 networks" in page.place(few).read_text()
    row = text[text.index("<tr><td>flips/depth-jepa") :]
    counts = [cell.split("<")[0] for cell in row[: row.index("</tr>")].split('<td class="number">')[1:6]]
    assert counts == ["0", "4", "4", "0", "8"]  # hold, refuted, inconclusive, measurements, executions
    ids = [part.split('"')[0] for part in text.split('<h2 id="')[1:]]
    assert len(ids) == len(set(ids))


def test_every_claim_of_equal_name_is_compared(few, capsys):
    store.save_claims(summary.claims(store.records(few)), few)
    content = json.loads((few / "claims.json").read_text())
    content[0]["measured"] += 1
    (few / "claims.json").write_text(json.dumps(content))
    assert cli.main(["claims", "--out", str(few)]) == 1
    assert f"{content[0]['id']}: measured is" in capsys.readouterr().err


@pytest.fixture
def at_once(runs, execution, monkeypatch):
    """Records of two executions, whose claims two processes compute; gives how many did."""
    for seed in range(2):
        execution(runs, seed)
    used = []
    monkeypatch.setattr(summary, "RUNS", 16)
    monkeypatch.setattr(summary, "cores", lambda: 2)
    monkeypatch.setattr(summary, "pool", lambda orders, places, name: used.append(len(places)) or pool(orders, places, name))
    return used


def test_processes_at_once_compute_what_one_does(runs, at_once, monkeypatch):
    found = store.records(runs)
    made = summary.summarise(found, {found[0].path})
    assert at_once == [2]
    assert made == summary.summarise(found, {found[0].path}), "kept"
    shutil.rmtree(runs / "cache")
    monkeypatch.setattr(summary, "RUNS", 1000)
    assert made == summary.summarise(store.records(runs), {found[0].path})
    assert at_once == [2]
    assert made[0].section and not made[1].section


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b"x"),
        pytest.param(Path.unlink, marks=pytest.mark.slow),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), marks=pytest.mark.slow),
    ],
)
def test_what_is_damaged_is_named_by_processes_at_once(runs, at_once, harm, capfd):
    table = next(iter(store.records(runs)[1].runs.values())) / "metrics.parquet"
    harm(table)
    assert cli.main(["claims", "--out", str(runs)]) == 2 and at_once == [2]
    lines = capfd.readouterr().err.splitlines()  # those of the processes, too
    assert len(lines) == 1 and lines[0].startswith(f"study: error: {table}: ")


@pytest.mark.slow
def test_ten_thousand_runs_within_five_seconds_and_a_gigabyte(runs, execution):
    """About 2 minutes on 2 CPU cores: 625 executions of 16 runs. `study run` keeps the claims and sections of what it has run;
    here the first call computes all claims and the third draws the sections, whose times are printed."""
    for seed in range(625):
        execution(runs, seed)
    for command, most in (("claims", None), ("claims", 5), ("report", None), ("report", 5), ("status", 5)):
        done = subprocess.run([sys.executable, "-c", MEASURE, command, "--out", runs], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        seconds, peak = json.loads(done.stdout)
        print(f"study {command}: {seconds:.1f} s, {peak / 1e9:.2f} GB")
        assert most is None or seconds <= most
        assert peak <= 1e9
    assert "of 1,875 claims hold, 0 refuted" in (runs / "report" / "index.html").read_text()
    assert (runs / "report" / "index.html").stat().st_size < 2e6
