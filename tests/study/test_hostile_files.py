"""Files of a run, with the checksum that they should have, that hold what they should not: named in one line, and nothing hangs."""

import hashlib
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from study import cli
from study.experiments import flips
from study.launch import store
from study.report import summary
from study.running.result import Result
from study.running.run import FORMAT

DEEP = "[" * 200_000 + "]" * 200_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory, execution):
    """One execution of four runs, with its claims."""
    out = tmp_path_factory.mktemp("whole") / "runs"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flips, "DEPTHS", (1, 2))
        execution(out, 0)
        store.save_claims(summary.claims(store.records(out)), out)
    shutil.rmtree(out / "cache")
    return out


@pytest.fixture
def out(whole, runs, monkeypatch):
    monkeypatch.setattr(flips, "DEPTHS", (1, 2))
    return Path(shutil.copytree(whole, runs))


def files(out):
    return {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "claims.lock"}


def sign(run):
    """Write `done` with the checksums that the run's files have."""
    names = ("config.yaml", "provenance.json", "metrics.parquet")
    sums = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names}
    (run / "done").write_text(json.dumps({"format": FORMAT, "run": run.name, "sha256": sums}))


def refused(answer, path, length=600):
    """Whether a command ended with one line that names the file."""
    code, lines = answer
    assert code == 2 and len(lines) == 1, (code, lines)
    assert lines[0].startswith("study: error: ") and str(path) in lines[0] and len(lines[0]) < length, lines[0]


TEXTS = {
    "deep": DEEP,
    "empty": "",
    "a list": "[1, 2]",
    "a number": "3",
    "a key twice": '{"format": 1, "format": 1, "sha256": {}}',
    "a huge integer": '{"format": ' + "9" * 5000 + "}",
    "a large integer": '{"format": ' + "9" * 4000 + "}",
    "another encoding": b"\xff\xfe\xfa\x00",
    "half a surrogate": '{"format": 1, "kind": "x", "reason": "\\ud800", "array": "\\ud800", "task": 1}',
    "infinity": '{"format": Infinity, "kind": "Diverged", "reason": "x", "update": Infinity, "network": 0, "lr": NaN}',
    "a true format": '{"format": true, "sha256": []}',
    "types": '{"format": 1, "sha256": [], "kind": "Diverged", "reason": "r", "update": "1", "network": [], "lr": {}, "array": 1}',
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["done", "record", "provenance.json"])
def test_a_file_that_is_no_such_json_is_named(name, text, out, study):
    (record,) = out.glob("flips/*.json")
    run = next(p for p in sorted((out / "flips").iterdir()) if p.is_dir())
    path = record if name == "record" else run / name
    path.write_bytes(TEXTS[text] if isinstance(TEXTS[text], bytes) else TEXTS[text].encode())
    if name == "provenance.json":
        sign(run)
    before = files(out)
    refused(study("report", "--out", out), path)
    if name != "provenance.json":  # which only the page needs
        refused(study("claims", "--out", out), path)
        refused(study("run", "flips", "--pairs", "6", "--seed", "0", "--device", "cpu", "--out", out), path)
    assert files(out) == before


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["failed.json", "job.json"])
def test_a_run_with_a_file_that_is_no_such_json_failed(name, text, out, capsys, study):
    run = next(p for p in sorted((out / "flips").iterdir()) if p.is_dir())
    (run / "done").unlink()
    path = run / name
    path.write_bytes(TEXTS[text] if isinstance(TEXTS[text], bytes) else TEXTS[text].encode())
    assert cli.main(["status", "flips", "--out", str(out)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if run.name in line]
    assert line.startswith("failed") and str(path) in line and len(line) < 600


FIELDS = {
    "options": [[], "x", None, {"pairs": "six"}, {"pairs": [6]}, {"nothing": 1}],
    "runs": [{}, [], {"jepa-L1": 3}, {"jepa-L1": "x" * 300}],
    "command": [3, None],
    "seconds": ["8", None, float("nan"), float("inf"), True, 10**400],
    "finished": [3, None, []],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in FIELDS.items() for value in values])
def test_a_record_with_a_field_of_another_type_is_named(field, value, out, study):
    (record,) = out.glob("flips/*.json")
    content = json.loads(record.read_text())
    del content["sha256"]
    content[field] = value
    record.write_text(json.dumps({**content, "sha256": store._signed(content)}))
    for command in ("claims", "report"):
        refused(study(command, "--out", out), record)


def tables(path):
    """Tables that look like a run's and are none."""
    good = pq.ParquetFile(io.BytesIO(path.read_bytes())).read()

    def column(name, values):
        return good.set_column(good.column_names.index(name), name, values)

    rows = good.num_rows
    made = {
        "no columns": pa.table({}),
        "numbers as texts": column("value", good["value"].cast(pa.string())),
        "integers as values": column("value", pa.array([1] * rows)),
        "networks that are no integers": column("network", pa.array([float("nan")] * rows)),
        "a huge network": column("network", pa.array([10**12, *[0] * (rows - 1)])),
        "a negative network": column("network", pa.array([-1, *[0] * (rows - 1)])),
        "a negative step": column("step", pa.array([-1] * rows)),
        "rows without a value": column("value", pa.array([None, *[1.0] * (rows - 1)])),
        "rows without a metric": column("metric", pa.array([None, *["x"] * (rows - 1)])),
        "nested values": column("value", pa.array([[1.0]] * rows)),
        "metrics of other metrics": column("metric", pa.array(["x"] * rows)),
        "fewer networks": good.filter(pa.compute.equal(good["network"], 0)),
        "one row": good.slice(0, 1),
        "texts that are none": column("metric", pa.array([b"\xff"] * rows, pa.binary()).view(pa.string())),
    }
    for name, table in made.items():
        buffer = io.BytesIO()
        pq.write_table(table, buffer, store_schema=False)
        yield name, buffer.getvalue()
    buffer = io.BytesIO()
    pq.write_table(good.set_column(4, "metric", good["metric"].dictionary_encode()), buffer)
    yield "a dictionary", buffer.getvalue()
    buffer = io.BytesIO()
    pq.write_table(pa.table({**{name: good[name] for name in good.column_names[:5]}, "more": good["value"]}), buffer)
    yield "another column", buffer.getvalue()


TABLES = (
    "no columns", "numbers as texts", "integers as values", "networks that are no integers", "a huge network",
    "a negative network", "a negative step", "rows without a value", "rows without a metric", "nested values",
    "metrics of other metrics", "fewer networks", "one row", "texts that are none", "a dictionary", "another column",
)  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_none_of_a_run_is_named(name, out, study):
    path = next(iter(sorted(out.glob("flips/*/metrics.parquet"))))
    path.write_bytes(dict(tables(path))[name])
    sign(path.parent)
    code, lines = study("claims", "--out", out)
    assert code == 2 and len(lines) == 1 and lines[0].startswith("study: error: ") and len(lines[0]) < 900, (code, lines)
    named = next(out.glob("flips/*.json")) if name in ("metrics of other metrics", "fewer networks", "one row") else path
    assert str(named) in lines[0] or str(path.parent) in lines[0]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
YAML = {
    "aliases of aliases": BOMB,
    "itself": "&a [*a]",
    "a key twice": "a: 1\na: 2",
    "deep": "[" * 20_000,
    "a class": "!!python/object/apply:os.mkdir [executed]",
    "a tag that is not true": "!!int ''",
    "a bad date": "2026-99-99",
    "a text": "x",
    "empty": "",
}


@pytest.mark.parametrize("name", YAML)
def test_a_configuration_that_is_none_is_named(name, out, study):
    run = next(p for p in sorted((out / "flips").iterdir()) if p.is_dir())
    (run / "config.yaml").write_text(YAML[name])
    sign(run)
    with pytest.raises(ValueError, match=r"config\.yaml: ") as error:
        _ = Result(run).config
    assert len(str(error.value)) < 600
    shared = {"lr": [0.1]}
    (run / "config.yaml").write_text(yaml.safe_dump({"a": shared, "b": shared}))
    assert Result(run).config == {"a": shared, "b": shared}


KINDS = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: os.symlink("/dev/zero", path),
    "link to itself": lambda path: os.symlink(path, path),
    "link to nothing": lambda path: os.symlink(path.with_name("nowhere"), path),
}


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["done", "metrics.parquet", "provenance.json", "record"])
def test_what_is_no_file_does_not_hold_a_command_up(name, kind, out, study):
    (record,) = out.glob("flips/*.json")
    run = next(p for p in sorted((out / "flips").iterdir()) if p.is_dir())
    path = record if name == "record" else run / name
    path.unlink()
    KINDS[kind](path)
    again = ("run", "flips", "--pairs", "6", "--seed", "0", "--device", "cpu")
    codes = {command[0]: study(*command, "--out", out)[0] for command in (("status",), ("claims",), ("report",), again)}
    assert codes["status"] == 0
    if (name, kind) not in (("done", "link to nothing"), ("record", "link to nothing")):  # as if it had not been finished
        assert set(codes.values()) == {0, 2} and codes["claims"] == 2, codes
    if name != "record":  # which the run writes anew
        assert path.is_symlink() or not path.is_file()


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("name", ["failed.json", "job.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_status_says_what_is_no_file(name, kind, out, capsys):
    run = next(p for p in sorted((out / "flips").iterdir()) if p.is_dir())
    (run / "done").unlink()
    KINDS[kind](run / name)
    assert cli.main(["status", "--out", str(out)]) == 0
    assert f"{run / name}: damaged, expected a regular file" in capsys.readouterr().out


def test_a_table_of_more_rows_than_memory_holds_is_refused_before_it_is_read(out, monkeypatch, study):
    class Little:
        available = 64 * 10

    monkeypatch.setattr("psutil.virtual_memory", Little)
    code, (line,) = study("claims", "--out", out)
    assert code == 2 and "metrics.parquet: not a readable table (expected a table that fits into memory" in line


def test_tables_of_ordinary_runs_are_read_as_before(out, study):
    assert study("claims", "--out", out) == (0, [])
    table = Result(next(p for p in sorted((out / "flips").iterdir()) if p.is_dir())).table
    assert isinstance(table, pd.DataFrame) and np.isfinite(table["value"]).all()
