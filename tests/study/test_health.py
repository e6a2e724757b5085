"""The alarm of collapse: with update and evidence, once for each network, and never for a healthy one."""

import math

import pytest
import torch
from lightning import Trainer
from noisy import noisy

from datamodules import GaussianPairs
from models import MLP, Learner, StopGradient
from study.observers import Health, Table
from study.observers.health import collapsed, effective_rank

QUIETLY = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def trained(weight_decay, capsys):
    """Two networks on noisy images, with the lines that were said."""
    data = noisy(size=4, count=300, directions=4, amplitude=2.0, batch=32, updates=240, chunk=20)
    encoder = MLP(48, [16], 8, "relu", eps=0.3, seeds=[0, 1])
    learner = Learner(encoder, StopGradient(), 1e-2, momentum=0.9, weight_decay=weight_decay)
    table = Table()
    Trainer(max_epochs=1, accelerator="cpu", callbacks=[table, Health(20, 60)], **QUIETLY).fit(learner, datamodule=data)
    return table, [line for line in capsys.readouterr().err.splitlines() if line.startswith("study: ")]


def test_collapse_is_said_once_with_update_network_and_numbers(capsys):
    table, said = trained([0.0, 1.0], capsys)
    assert len(said) == 1
    at_update = table.values("health/validation-60/collapsed")
    update = int(at_update[240][1])
    assert said[0].startswith(f"study: features of network 1 have collapsed by update {update}: of network 1, std is ")
    for at, value in at_update.items():
        assert math.isnan(value[0])
        assert value[1] == update if at >= update else math.isnan(value[1])
    std = table.values("health/validation-60/std")
    assert std[update][1] < 0.05 * std[0][1] <= std[update - 20][1] * 1.2
    assert torch.isfinite(table.values("health/validation-60/beyond")[240]).all()


def test_healthy_networks_raise_no_alarm(capsys):
    assert trained([0.0, 1e-4], capsys)[1] == []


def test_features_that_grow_from_a_small_start_one_after_the_other_are_healthy(capsys):
    """Their effective rank falls to that of the first, as in every deep linear network from a small initialisation."""
    data = GaussianPairs([8.0, 1.0, 0.5, 0.3], [0.9] * 4, updates=400, chunk=20)
    table = Table()
    learner = Learner(MLP(4, [4], 4, "linear", eps=0.05, seeds=[0]), StopGradient(), 0.05)
    Trainer(max_epochs=1, accelerator="cpu", callbacks=[table, Health(20)], **QUIETLY).fit(learner, datamodule=data)
    ranks = [float(value[0]) for value in table.values("health/validation-256/rank").values()]
    assert min(ranks) < 0.6 * ranks[0]
    assert "study:" not in capsys.readouterr().err


def test_one_point_and_one_line_have_collapsed_and_less_variance_has_not():
    """On a line features may spread farther than before; and to leave out a distractor of A = 14 takes .17 of the std."""
    shares = {"std": torch.tensor([1.0, 3.0, 0.04, 0.17]), "beyond": torch.tensor([1.0, 0.01, 0.06, 0.15])}
    assert collapsed(shares).tolist() == [False, True, True, False]


def test_effective_rank_is_that_of_equal_directions():
    for rank in (1, 3, 8):
        assert float(effective_rank(torch.tensor([[1.0] * rank + [0.0] * (8 - rank)]))) == pytest.approx(rank)
