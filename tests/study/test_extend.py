"""What classes of one's own leave behind, of those that the documents show (tests/study/test_documents.py does what they show)."""

from pathlib import Path

import documents
import pandas as pd
import pytest
import torch

from datamodules import Moments
from study import outside
from study.launch import store

FILES = documents.files("docs/own-data.md", "docs/own-noise.md", "docs/own-network.md", "docs/extend.md")
TRUSTED = ["small.py:Small", "gated.py:Gated", "signs.py:Signs"]


@pytest.fixture
def own(tmp_path, monkeypatch, forget):
    """A folder with the documents' files."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    return tmp_path


def test_every_example_has_at_most_40_lines_and_there_is_one_of_each_kind():
    examples = {name: text for name, text in FILES.items() if name.endswith(".py")}
    assert all(len(text.splitlines()) <= 40 and max(map(len, text.splitlines())) <= 128 for text in examples.values())
    bases = ("Source", "Noise", "Pairing", "nn.Module", "Predictor", "Objective", "Observer", "TrainingExperiment")
    assert all(sum(f"({base}):" in text for text in examples.values()) == 1 for base in bases) and len(examples) == len(bases)


@pytest.mark.parametrize(
    ("config", "classes"),
    [
        ("waves.yaml", {"waves.py:Waves", "shift.py:Shift"}),
        ("noisy.yaml", {"offset.py:Offset"}),
        ("run.yaml", {"small.py:Small", "gated.py:Gated", "signs.py:Signs"}),
    ],
)
def test_a_run_keeps_the_places_of_the_documents_classes_and_has_their_probe(config, classes, own, study):
    assert study("fit", "--config", config)[0] == 0
    (done,) = own.glob("runs/fit/*/done")
    used = {text for text in (done.parent / "config.yaml").read_text().split() if ".py:" in text}
    assert used == {str(own / name) for name in classes}
    table = pd.read_parquet(done.with_name("metrics.parquet"))
    assert {"loss", "probe/online/features/noisy/test"} <= set(table["metric"]) and table["step"].max() == 40


def test_the_documents_network_is_probed_at_its_taps(own, study):
    assert study("fit", "--config", "run.yaml")[0] == 0
    (done,) = own.glob("runs/fit/*/done")
    assert study("probe", done.parent / "checkpoints" / "last.ckpt", "--trust", *TRUSTED)[0] == 0
    assert set(pd.read_csv(done.parent / "checkpoints" / "probe.csv")["tap"]) == {"raw", "body", "features"}


def test_the_documents_experiment_is_done_with_a_further_observer_claimed_and_shown(own, study):
    for command in (["run", "rates.py:Rates", "--seeds", "2", "--observers", "norms.py:Norms"], ["claims"], ["report"]):
        assert study(*command)[0] == 0
    (record,) = store.records(Path("runs"))
    assert all("norm" in set(pd.read_parquet(run / "metrics.parquet")["metric"]) for run in record.runs.values())
    assert "At ten times the learning rate" in Path("runs/report/index.html").read_text()


def test_the_documents_noise_has_the_moments_that_it_says(own):
    """Against the moments of many views of samples without variance."""
    noise = outside.resolve("offset.py:Offset")(amplitude=0.5)
    noise.attach([4], [0])
    x, y = noise.views(torch.zeros(1, 200_000, 4), torch.zeros(1, 200_000, 4), update=0)
    zero = torch.zeros(4, 4, dtype=torch.float64)
    (expected,) = noise.moments(Moments(zero, zero, zero))
    for left, right, moment in ((x, x, expected.Sxx), (y, x, expected.Syx), (y, y, expected.Syy)):
        found = left[0].double().T @ right[0].double() / x.shape[1]
        torch.testing.assert_close(found, moment, rtol=0, atol=5 * 0.25 * (2 / x.shape[1]) ** 0.5)
