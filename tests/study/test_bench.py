"""Benchmarks: the arithmetic of rows, peers that do the same work, and one ratio that must not be lost."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.population import gradients, products, residual
from study import bench, cli
from study.bench import (
    base,
    lightning_peer,
    linear_peers,
    networks,
    observers,
    pixel_peer,
    pixels,
    scaling,
    spectrum,
    stacks,
    times,
    trainer,
)
from study.bench.base import Method, Peaks, Row, measure
from study.bench.memory import Memory
from study.bench.problem import Problem

SMALL = Problem(3, 6, 3, lr=0.1, eps=0.5)
STEPS = 25


@pytest.fixture
def quick(monkeypatch):
    """Repeats of one step each."""
    monkeypatch.setattr(base, "SECONDS", 1e-9)
    monkeypatch.setattr(scaling, "SECONDS", 1e-9)


def test_rows_from_fake_timings(monkeypatch):
    """A method that takes 1, 2, 4, 8, 16 s per step in its repeats, and one that always takes 4 s."""
    monkeypatch.setattr(base, "REPEATS", 5)
    calls = iter([7.0, 3.0, 3.0, 1.0, 2.0, 4.0, 8.0, 16.0])
    methods = [Method("a", lambda: lambda steps: next(calls), 8.0), Method("b", lambda: lambda steps: 4.0, 2.0)]
    a, b = measure("test", "case", methods, "things/s", "cpu", Peaks(100.0, 40.0), 10.0, 10.0)
    assert (a.median, a.repeats, a.compile_seconds) == (2.0, 5, 4.0)
    assert a.spread == 4.0 - 1.0  # quartiles of 8, 4, 2, 1, 0.5 things/s
    assert a.share == 2.0 * 10 / 40  # bytes are the nearer peak
    assert (b.median, b.ratio, b.reference) == (0.5, 0.25, "a")


def test_what_cannot_be_timed_is_reported(monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'jax'", name="jax")

    slow = Method("slow", lambda: lambda steps: 100.0)
    rows = measure("test", "case", [Method("peer", missing), slow], "x/s", "cpu")
    assert rows[0] == Row("test", "case", "peer", "x/s", note="not installed: jax (pip install '.[bench]')")
    assert rows[1].median is None and "100.0 s" in rows[1].note
    monkeypatch.setitem(__import__("sys").modules, "jax", None)
    by_jax = stacks.methods(SMALL)[-1]
    assert "pip install" in measure("test", "case", [by_jax], "x/s", "cpu")[0].note


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_flop_of_an_update(depth):
    """The formula's products, counted by torch."""
    problem = Problem(2, 8, depth)
    Sxx, Syx, _ = (m[None] for m in problem.moments)
    *layers, head = problem.first
    with FlopCounterMode(display=False) as counter:
        partial = products(layers)
        R = residual(head, partial[-1], partial[-1], Sxx, Syx)
        for _, left, right in gradients(layers, partial, head, R):
            _ = left if right is None else left @ right
    assert counter.get_total_flops() == problem.networks * problem.flop


@pytest.mark.parametrize("name", ["PyTorch loop", "vmap", "Lightning", "JAX"])
def test_every_peer_computes_the_same_weights(name):
    if name == "JAX":
        pytest.importorskip("jax", reason="pip install '.[bench]'")
    made = {
        "PyTorch loop": partial(linear_peers.BareLoop, SMALL, 3),
        "vmap": partial(linear_peers.Vmap, SMALL),
        "Lightning": partial(lightning_peer.PerNetwork, SMALL, 3),
        "JAX": partial(stacks.by_jax, SMALL),
    }
    ours, peer = linear_peers.Ours(SMALL), made[name]()
    ours(STEPS)
    peer(STEPS)
    moved = max(float((w - first).abs().max()) for w, first in zip(ours.weights, SMALL.first, strict=True))
    assert moved > 0.05
    for mine, other in zip(ours.weights, peer.weights, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-5)


def test_the_pixel_peer_trains_the_same_network():
    ours, peer = pixels.Ours(1, "cpu"), pixel_peer.MLP(pixels.SIZES, pixels.LR, pixels.MOMENTUM)
    encoder = ours.learner.encoder
    into = [peer.encoder[0].weight, peer.encoder[2].weight, peer.encoder[0].bias, peer.encoder[2].bias, peer.head.weight]
    own = [*encoder.layers, *encoder.biases, ours.learner.predictor.weight]
    with torch.no_grad():
        for p, q in zip(into, own, strict=True):
            p.copy_(q[0].view_as(p))
    optimizer = peer.configure_optimizers()
    for update in range(5):
        data = ours.data.pairs(update, ours.device)
        optimizer.zero_grad()
        peer.training_step((data.x.values[0], data.y.values[0]), update).backward()
        optimizer.step()
    ours(5)
    for p, q in zip(into, own, strict=True):
        torch.testing.assert_close(p, q[0].view_as(p), rtol=0, atol=1e-5)


def test_networks_have_the_losses_in_a_stack_that_they_have_alone(monkeypatch):
    for name, small in {"SIZE": 8, "BATCH": 8, "COUNT": 60}.items():
        monkeypatch.setattr(networks, name, small)
    together, alone = (networks.Training("convolution", n, "cpu") for n in (2, 1))
    together(3)
    alone(3)
    torch.testing.assert_close(together.learner.losses[:1], alone.learner.losses, rtol=1e-4, atol=0)


def test_memory_counts_what_is_alive():
    with Memory() as memory:
        a = torch.ones(1000)
        b = a + 1
        del a
        c = b * 2
        c += 1
        del b, c
        torch.ones(100)
    assert memory.peak == 8000


def test_times_agree_with_the_formula():
    modes = times.mixed(16)
    expected = times.by_formula(modes)
    np.testing.assert_allclose(times.by_scipy(modes), expected, rtol=1e-4)
    np.testing.assert_allclose(times.by_stack(modes, expected), expected, rtol=1e-4)


@pytest.mark.parametrize("work", list(spectrum.WORK))
def test_what_scikit_learn_computes_is_the_same(work):
    pytest.importorskip("sklearn", reason="pip install '.[bench]'")
    here, there = (compute(spectrum.Task(2000, 12, 3)) for compute in spectrum.WORK[work])
    np.testing.assert_allclose(abs(here), abs(there), rtol=0, atol=2e-4)  # components have no sign


def test_every_benchmark_makes_rows(quick, monkeypatch):
    monkeypatch.setattr(pixels, "STACKS", (1,))
    for name, small in {"SIZE": 8, "BATCH": 8, "COUNT": 60}.items():
        monkeypatch.setattr(networks, name, small)
    made = {
        "stacks": stacks.rows("cpu", [(2, 4, 2)]),
        "pixels": pixels.rows("cpu", workers=(0,)),
        "trainer": trainer.rows("cpu", (2, 4, 2)),
        "observers": observers.rows("cpu", (2, 1)),
        "scaling": scaling.rows("cpu", {"N": [(2, 4, 2), (4, 4, 2)]}, (50, 100)),
        "spectrum": spectrum.rows("cpu", (600, 8, 2)),
        "networks": networks.rows("cpu", (2,)),
    }
    for name, rows in made.items():
        assert {row.benchmark for row in rows} == {name}
        assert all(row.median is not None and row.median == row.median for row in rows if not row.note.startswith("not inst"))


def test_the_command_prints_json(monkeypatch, capsys):
    monkeypatch.setattr(times, "STACK", 16)
    monkeypatch.setattr(times, "VALUES", 1000)
    assert cli.main(["bench", "times", "--json", "--device", "cpu"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in rows] == ["formula", "scipy LSODA", "our Rosenbrock stack"]
    assert all(row["median"] > 0 and row["repeats"] >= 5 for row in rows)


def test_an_unknown_benchmark_is_one_line_and_exit_code_2(capsys):
    assert cli.main(["bench", "paint"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("study: error: ") and len(err.strip().splitlines()) == 1
    assert all(name in err for name in bench.NAMES)


def test_a_stack_stays_faster_than_a_loop():
    """At N = 64, d = 16, L = 4 it is some 300 times faster; the floor leaves room for a busy machine."""
    problem = Problem(64, 16, 4)
    methods = [m for m in stacks.methods(problem) if m.name in ("ours", "PyTorch loop")]
    ours, loop = measure("test", problem.case, methods, "network-steps/s", "cpu")
    assert ours.median >= 30 * loop.median
