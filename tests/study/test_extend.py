"""What docs/extend.md shows is done as it stands: its files are written, and its commands given."""

import glob
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch

from datamodules import Moments
from study import outside
from study.launch import store

TEXT = (Path(__file__).parents[2] / "docs" / "extend.md").read_text()
FILES = {text.splitlines()[0].removeprefix("# "): text for text in re.findall(r"```(?:python|yaml)\n(.*?)```", TEXT, re.DOTALL)}
FIT, EXPERIMENT = (
    [shlex.split(line) for line in text.splitlines()] for text in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
)


@pytest.fixture
def give(tmp_path, monkeypatch, forget, study):
    """Gives commands of the document, in a folder with its files."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)

    def give(commands):
        for program, *arguments in commands:
            assert program == "study"
            arguments = [found for text in arguments for found in (sorted(glob.glob(text)) if "*" in text else [text])]
            code, lines = study(*arguments)
            assert code == 0, lines

    return give


def test_every_example_has_at_most_40_lines_and_there_is_one_of_each_kind():
    examples = {name: text for name, text in FILES.items() if name.endswith(".py")}
    assert all(len(text.splitlines()) <= 40 and max(map(len, text.splitlines())) <= 128 for text in examples.values())
    bases = ("Source", "Noise", "Pairing", "nn.Module", "Predictor", "Objective", "Observer", "TrainingExperiment")
    assert all(sum(f"({base}):" in text for text in examples.values()) == 1 for base in bases) and len(examples) == len(bases)


def test_the_documents_source_noise_pairing_network_predictor_objective_and_observer_train_and_are_probed(give):
    give(FIT)
    (done,) = Path().glob("runs/fit/*/done")
    table = pd.read_parquet(done.with_name("metrics.parquet"))
    assert {"loss", "norm", "probe/online/features/noisy/test-100"} <= set(table["metric"])
    assert set(table["network"]) == {0, 1} and table["step"].max() == 40
    used = {text for text in (done.parent / "config.yaml").read_text().split() if ".py:" in text}
    assert {Path(name.partition(":")[0]).name for name in used} == {name for name in FILES if name.endswith(".py")} - {
        "rates.py"
    }
    assert set(pd.read_csv(done.parent / "checkpoints" / "probe.csv")["tap"]) == {"raw", "body", "features"}


def test_the_documents_experiment_is_done_with_a_further_observer_claimed_and_shown(give):
    give(EXPERIMENT)
    (record,) = store.records(Path("runs"))
    assert all("norm" in set(pd.read_parquet(run / "metrics.parquet")["metric"]) for run in record.runs.values())
    assert "At ten times the learning rate" in Path("runs/report/index.html").read_text()


def test_the_documents_noise_has_the_moments_that_it_says(give):
    """Against the moments of many views of samples without variance."""
    noise = outside.resolve("offset.py:Offset")(amplitude=0.5)
    noise.attach([4], [0])
    x, y = noise.views(torch.zeros(1, 200_000, 4), torch.zeros(1, 200_000, 4), update=0)
    zero = torch.zeros(4, 4, dtype=torch.float64)
    (expected,) = noise.moments(Moments(zero, zero, zero))
    for left, right, moment in ((x, x, expected.Sxx), (y, x, expected.Syx), (y, y, expected.Syy)):
        found = left[0].double().T @ right[0].double() / x.shape[1]
        torch.testing.assert_close(found, moment, rtol=0, atol=5 * 0.25 * (2 / x.shape[1]) ** 0.5)
