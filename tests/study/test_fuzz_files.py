"""Any bytes and any fields in a run's files, with the checksums that they should have: every command ends with one line or as before."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study import cli
from study.experiments import flips
from study.launch import store
from study.running.run import FORMAT

AGAIN = ("run", "flips", "--pairs", "6", "--seed", "0", "--device", "cpu")
RUN = ("done", "provenance.json", "config.yaml", "metrics.parquet", "failed.json", "job.json", "lock")
NAMES = (*RUN, "record", "claims.json", "cache")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(10**400) | st.just("../x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, execution):
    """One execution of four runs, with its claims."""
    out = tmp_path_factory.mktemp("whole") / "runs"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flips, "DEPTHS", (1, 2))
        execution(out, 0)
        assert cli.main(["report", "--out", str(out)]) == 0
        yield out


def mutate(path, draw):
    """Change bytes of a file, or a field of one that is JSON."""
    content = bytearray(
        path.read_bytes() if path.exists() else json.dumps({"kind": "Stalled", "array": "a", "task": 1}).encode()
    )
    if content[:1] == b"{" and draw.draw(st.booleans(), label="a field"):
        found = json.loads(content)
        field = draw.draw(st.sampled_from([*found, "more"]), label="field")
        found[field] = draw.draw(VALUES, label="value")
        if path.parent.name == "flips":
            found.pop("sha256", None)
            found["sha256"] = store._signed(found)
        path.write_text(json.dumps(found))
        return
    for _ in range(draw.draw(st.integers(1, 4), label="changes")):
        at = draw.draw(st.integers(0, max(0, len(content) - 1)), label="at")
        match draw.draw(st.sampled_from(["cut", "byte", "insert"]), label="kind"):
            case "cut":
                content = content[:at]
            case "byte" if content:
                content[min(at, len(content) - 1)] = draw.draw(st.integers(0, 255), label="byte")
            case _:
                content[at:at] = draw.draw(st.binary(max_size=40), label="bytes")
    path.write_bytes(content)


def check(whole, folder, capsys, at_most, name, draw):
    """Change one file, sign the run, and have all commands read it."""
    shutil.rmtree(folder, ignore_errors=True)
    out = Path(shutil.copytree(whole, folder))
    run = next(p for p in sorted((out / "flips").iterdir()) if p.is_dir())
    others = {"record": "flips/*.json", "claims.json": "claims.json", "cache": "cache/flips/*"}
    path = run / name if name in RUN else draw.draw(st.sampled_from(sorted(out.glob(others[name]))), label="file")
    if name != "cache":  # where what was computed of the files could be taken instead of them
        shutil.rmtree(out / "cache")
    if name in ("failed.json", "job.json"):
        (run / "done").unlink()
    mutate(path, draw)
    if name in ("provenance.json", "config.yaml", "metrics.parquet"):
        files = ("config.yaml", "provenance.json", "metrics.parquet")
        sums = {file: hashlib.sha256((run / file).read_bytes()).hexdigest() for file in files}
        (run / "done").write_text(json.dumps({"format": FORMAT, "run": run.name, "sha256": sums}))
    commands = [("status",), ("claims",), ("report",), ("cancel",)]
    commands += [AGAIN] if name in ("done", "record") else []
    for command in commands:
        before = {
            p: p.read_bytes() for p in out.rglob("*") if p.is_file() and "cache" not in p.parts and "report" not in p.parts
        }
        with at_most(20):
            code = cli.main([*command, "--out", str(out)])
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("study: error", "study: stopped"))]
        assert code in (0, 1, 2) and len(lines) == (code == 2), (command, code, lines)
        assert all(len(line) < 900 and str(out) in line for line in lines), lines
        if code == 2:
            assert all(p.read_bytes() == content for p, content in before.items()), command


@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_a_run_ends_in_a_traceback(name, whole, tmp_path, capsys, at_most):
    @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def run(draw):
        check(whole, tmp_path / "runs", capsys, at_most, name, draw)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_a_run_ends_in_a_traceback_at_length(name, whole, tmp_path, capsys, at_most):
    """3,000 cases: pytest -m slow tests/study/test_fuzz_files.py"""

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def run(draw):
        check(whole, tmp_path / "runs", capsys, at_most, name, draw)

    run()
