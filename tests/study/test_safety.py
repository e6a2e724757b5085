"""Nothing that is read, be it a name, a checkpoint, a configuration or a text, does more than it should."""

import ast
import dataclasses
import io
import json
import os
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from study import cli
from study.experiments import flips
from study.experiments.linear import training
from study.launch import store
from study.report import page, summary
from study.running import provenance
from study.running.checkpoint import digest
from study.running.training import Training

EVIL = """<script>alert('1')</script>"'><img src=x onerror=alert(2)>&lt;"""


class Tags(HTMLParser):
    """What a browser would find in a page: how many of each tag, and the names of attributes."""

    def __init__(self, text):
        super().__init__()
        self.found, self.attributes = Counter(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found[tag] += 1
        self.attributes |= {name for name, _ in attributes}


@pytest.fixture
def out(runs, execution, monkeypatch):
    """An execution of four runs."""
    monkeypatch.setattr(flips, "DEPTHS", (1, 2))
    execution(runs, 0)
    return runs


def rewrite(path, change):
    """Change a record as somebody would who knows its format."""
    content = json.loads(path.read_text())
    content.pop("sha256")
    change(content)
    content["sha256"] = store._signed(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc", "..", ".", "", "a/b", "../{run}", "a\0b", 3, None, ["a"]])
def test_a_record_names_runs_beside_it_only(name, out, study):
    (record,) = out.glob("flips/*.json")
    run = next(p.name for p in record.parent.iterdir() if p.is_dir())
    name = name.format(run=f"flips/{run}") if isinstance(name, str) else name
    rewrite(record, lambda content: content["runs"].update({"jepa-L1": name}))
    for command in ("claims", "report"):
        code, (line,) = study(command, "--out", out)
        assert code == 2
        assert line.startswith(f"study: error: {record}: expected the name of a folder beside it")


@pytest.mark.parametrize("names", [("../up", "r"), ("test", "../../r"), ("/tmp", "r"), ("test", "a/b"), ("..", "r")])
def test_a_run_stays_in_its_folder(names, runs):
    run = Training(*names, training("test", "r", "jepa", "cpu", [[1.0]], [[0.5]], 1, 0.1, [0], [0.1], 2, 4).config)
    with pytest.raises(ValueError, match="expected the name of a folder"):
        run.execute(runs)
    assert not runs.exists()


def test_links_within_the_results_are_fine(out, tmp_path, study):
    run = next(p for p in (out / "flips").iterdir() if p.is_dir())
    run.rename(tmp_path / "moved")
    run.symlink_to(tmp_path / "moved")
    assert study("claims", "--out", out) == (0, [])


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_executes_nothing(runs, tmp_path, monkeypatch, study):
    """A checkpoint with a right checksum that would make a folder if it were unpickled."""
    run = training("test", "r", "jepa", "cpu", [[1.0, 0.5]], [[0.4, 0.9]], 2, 0.1, [0], [0.05], 4, 10)
    run.execute(runs)
    (path,) = runs.glob("test/*/checkpoints/last.ckpt")
    content = torch.load(path, weights_only=True)
    buffer, mark = io.BytesIO(), tmp_path / "executed"
    torch.save({**content, "config": Payload(mark)}, buffer)
    path.write_bytes(buffer.getvalue() + digest(buffer.getvalue()))
    code, (line,) = study("probe", path)
    assert code == 2 and line.startswith(f"study: error: {path}: not a readable checkpoint")
    path.parents[1].joinpath("done").unlink()
    with pytest.raises(ValueError, match=r"last\.ckpt: not a readable checkpoint: holds more than numbers and text"):
        run.execute(runs)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "it would have"


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir [executed]", "!!python/name:os.system ''"])
def test_a_configuration_executes_nothing(tag, tmp_path, monkeypatch, study):
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text(f"model:\n  lr: {tag}\n")
    code, (line,) = study("fit", "--config", "run.yaml")
    assert code == 2 and line.startswith("study: error: ")
    assert not Path("executed").exists()


def calls(package):
    for path in sorted(Path(package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path, ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


@pytest.mark.parametrize("package", ["study", "datamodules", "models"])
def test_nothing_unpickles(package):
    root = Path(cli.__file__).parents[1] / package
    found = list(calls(root))
    assert found
    for path, name, options in found:
        last = name.rsplit(".", 1)[-1]
        assert last not in ("read_pickle", "unsafe_load", "full_load"), path
        assert name not in ("eval", "exec", "yaml.load", "pickle.load", "pickle.loads", "pickle.Unpickler"), path
        assert options.get("allow_pickle", "False") == "False", path
        if name == "torch.load" or "ckpt_path" in options:
            assert options["weights_only"] == "True", path


def test_texts_of_files_are_escaped(runs, execution, monkeypatch):
    """Markup in provenance, record and options, and in what an experiment says of its tables."""
    monkeypatch.setattr(flips, "DEPTHS", (1, 2))
    collect = provenance.collect

    def collected(*arguments):
        return {**collect(*arguments), "commit": EVIL, "hardware": EVIL, "versions": {EVIL: EVIL}}

    monkeypatch.setattr(provenance, "collect", collected)
    for seed in range(page.SHOWN + 1):
        record = execution(runs, seed)
        rewrite(record, lambda c: c.update(command=EVIL, finished=EVIL, options=c["options"] | {"device": EVIL}))
    claims = flips.Flips.claims

    def claimed(self, results):
        texts = dict.fromkeys(("id", "statement", "source", "predicted"), EVIL)
        return [dataclasses.replace(claim, **texts, verdict="refuted") for claim in claims(self, results)]

    def drawn(self, results):
        figure = Figure()
        figure.subplots().set(title=EVIL, xlabel=EVIL)
        figure.axes[0].plot([0, 1], label=EVIL, gid=EVIL)
        figure.axes[0].legend()
        return {EVIL: figure}

    monkeypatch.setattr(flips.Flips, "claims", claimed)
    monkeypatch.setattr(flips.Flips, "figures", drawn)
    monkeypatch.setattr(flips.Flips, "reported", lambda self, results: [{EVIL: EVIL}])
    monkeypatch.setattr(flips.Flips, "statement", classmethod(lambda cls: EVIL))
    for _ in range(2):  # made, and as it was kept
        page.render(store.records(runs), runs)
        for path in (page.place(runs), page.place(runs, "flips")):
            text = path.read_text()
            assert text.count("&lt;script&gt;") > 10
            tags = Tags(text)
            assert tags.found["script"] == 2, "the data and the script, which are ours"
            assert not tags.found["img"] and not [name for name in tags.attributes if name.startswith("on")]
            assert "script-src 'sha256-" in unescape(text) and "default-src 'none'" in unescape(text)
    assert summary.claims(store.records(runs))[0].statement == EVIL
