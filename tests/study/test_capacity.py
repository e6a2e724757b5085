"""Stacks that do not fit: refused with numbers, or done in parts with the same results."""

import pandas as pd
import pytest
import torch

from study import cli
from study.bench.memory import Memory
from study.experiments import phases
from study.experiments.linear import training
from study.experiments.phases import Phases
from study.launch.parts import Parts, part, split
from study.running import capacity
from study.running.assembly import assemble, data_of, learner_of
from study.running.training import StudyCLI
from study.theory.rosenbrock import attempt


def integration():
    experiment = Phases(tolerance=1e-4, points=2)
    lam, rho = experiment.grid()
    return experiment.race("jepa-L1", "jepa", lam, rho, 1, 1e-2)


def trained(data=None, **model):
    lam, rho = [[1.0, 0.8, 0.5]] * 5, [[0.9, 0.4, 0.7 + 0.01 * n] for n in range(5)]
    lr = [0.01, 0.02, 0.03, 0.04, 0.05]
    run = training("test", "t", "jepa", "cpu", lam, rho, 2, 0.1, [3, 1, 4, 1, 5], lr, 10, 4, **model)
    run.config["data"]["init_args"] |= data or {}
    return run


def room_for(networks, run, monkeypatch):
    free = int(run.need().each * (networks + 0.5) / capacity.HEADROOM)
    monkeypatch.setattr(capacity, "free_bytes", lambda device: free)


@pytest.mark.parametrize("make", [integration, trained])
def test_a_stack_that_does_not_fit_is_refused_before_anything_is_written(make, runs, monkeypatch):
    run = make()
    need = run.need()
    room_for(2, run, monkeypatch)
    with pytest.raises(
        ValueError, match=rf"{need.networks} networks needs [\d,]+ bytes, and [\d,]+ are free on cpu; at most N = 2 "
    ):
        run.execute(runs)
    assert not runs.exists()
    room_for(-0.4, run, monkeypatch)
    with pytest.raises(ValueError, match="at most N = 0 fit"):
        split(run)


@pytest.mark.parametrize("make", [integration, trained])
def test_parts_have_the_table_and_the_folder_of_the_whole(make, runs, monkeypatch):
    run = make()
    whole = run.execute(runs / "whole")
    room_for(2, run, monkeypatch)
    parts = split(run)
    assert isinstance(parts, Parts)
    made = parts.execute(runs / "parts")
    assert made.path.name == whole.path.name
    pd.testing.assert_frame_equal(made.table, whole.table, rtol=1e-11, atol=1e-13)
    assert len(list((runs / "parts").glob("*/*-part-*"))) > run.need().networks / 2
    monkeypatch.undo()
    assert split(run) is run
    pd.testing.assert_frame_equal(run.execute(runs / "parts").table, made.table)  # done


def test_chunk_auto_through_the_command_line(runs, monkeypatch, capsys):
    monkeypatch.setattr(phases, "DEPTHS", (1, 2))
    room_for(7, integration(), monkeypatch)  # of 8 networks
    arguments = ["run", "phases", "--points", "2", "--tolerance", "1e-4", "--out", str(runs), "--device", "cpu"]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert "--chunk auto" in error
    assert len(error.splitlines()) == 1
    assert cli.main([*arguments, "--chunk", "auto"]) == 0


def test_pairs_that_depend_on_their_number_are_not_split():
    config = trained({"batch": 4}).config
    with pytest.raises(ValueError, match="cannot be split"):
        part(config, 5, 0, 2)
    shared = {"lam": [1.0, 0.8, 0.5], "rho": [0.9, 0.4, 0.7], "batch": 4}
    assert part(trained(shared).config, 5, 1, 3)["data"]["init_args"]["lam"] == shared["lam"]


def test_only_lists_per_network_are_cut():
    config = {
        "data": {"class_path": "datamodules.GaussianPairs", "init_args": {"lam": [1.0, 2.0]}},
        "flow": {"levels": {"shared": [0.1, 0.2], "own": [[0.1, 0.2], [0.3, 0.4]]}, "until": [1.0, 2.0]},
        "model": {"encoder": {"class_path": "models.MLP", "init_args": {"hidden": [2, 2], "seeds": [0, 1]}}},
    }
    cut = part(config, 2, 1, 2)
    assert cut["flow"] == {"levels": {"shared": [0.1, 0.2], "own": [[0.3, 0.4]]}, "until": [2.0]}
    assert cut["model"]["encoder"]["init_args"] == {"hidden": [2, 2], "seeds": [1]}
    assert cut["data"] == config["data"]


def test_another_number_of_data_sets_is_refused(runs):
    run = trained()
    for name in ("lam", "rho"):
        run.config["data"]["init_args"][name] = run.config["data"]["init_args"][name][:3]
    with pytest.raises(ValueError, match="the data hold 3 sets for 5 networks"):
        run.execute(runs)
    assert not runs.exists()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_estimate_of_an_integration_is_what_is_allocated(depth):
    run = integration()
    run.config["model"]["encoder"]["init_args"]["hidden"] = [6] * (depth - 1)
    config = run.resolved()
    flow, y = assemble(config["flow"], learner_of(config["model"]), data_of(config))
    with Memory() as memory:
        attempt(flow, y, torch.full((len(y),), 1e-3, dtype=torch.float64))
    need = run.need()
    noted = need.networks * (need.each - 32 * y.shape[1] ** 2)
    assert memory.peak <= need.networks * need.each
    assert memory.peak >= 0.5 * (need.networks * need.each - noted)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"optimizer": "adamw"}])
def test_the_estimate_of_a_training_is_what_is_allocated(options):
    run = trained({"batch": 64}, **options)
    run.config["trainer"]["callbacks"] = []
    _, learner, data = StudyCLI(run.config).build()
    optimizer = learner.configure_optimizers()
    weights = sum(p.nbytes for p in learner.parameters())
    with Memory() as memory:
        learner.advance((data.pairs(u, torch.device("cpu")) for u in range(2)), optimizer)
    need = run.need()
    assert 0.4 < (weights + memory.peak) / (need.networks * need.each) < 1
