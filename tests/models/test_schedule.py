"""Schedules, against torch's own and against sums."""

import math
import warnings

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, SequentialLR

from datamodules import GaussianPairs
from models import EMA, MLP, Learner, Pixels, StopGradient, exact, population
from models.optimizers import SGD, AdamW
from models.schedule import Schedule

UPDATES = 12
DECAY = torch.tensor([0.1, 0.1], dtype=torch.float64)
SCHEDULES = [Schedule("constant", 5, UPDATES), Schedule("cosine", 0, UPDATES), Schedule("cosine", 4, UPDATES)]


def scheduler_of(optimizer, schedule):
    """The same schedule made of torch's parts."""
    rising = LambdaLR(optimizer, lambda u: (u + 1) / schedule.warmup if u < schedule.warmup else 1.0)
    if schedule.shape == "constant":
        return rising
    falling = CosineAnnealingLR(optimizer, UPDATES - schedule.warmup)
    return SequentialLR(optimizer, [rising, falling], [schedule.warmup]) if schedule.warmup else falling


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (lambda p, lr, s: SGD(p, lr, schedule=s), lambda p, lr: torch.optim.SGD(p, lr)),
        (
            lambda p, lr, s: SGD(p, lr, 0.9, DECAY, schedule=s),
            lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, weight_decay=0.1),
        ),
        (
            lambda p, lr, s: SGD(p, lr, 0.0, DECAY, schedule=s),
            lambda p, lr: torch.optim.SGD(p, lr, weight_decay=0.1),
        ),
        (
            lambda p, lr, s: AdamW(p, lr, weight_decay=DECAY, schedule=s),
            lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=0.1),
        ),
    ],
    ids=["sgd", "momentum", "decay", "adamw"],
)
def test_rates_are_those_of_torchs_schedulers(mine, theirs, schedule):
    rates = torch.tensor([0.1, 0.003], dtype=torch.float64)
    start = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    stacked = start.clone().requires_grad_()
    single = [start[n].clone().requires_grad_() for n in range(2)]
    optimizer, separate = mine([stacked], rates, schedule), [theirs([p], float(r)) for p, r in zip(single, rates, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR's own use of a deprecated argument
        schedulers = [scheduler_of(o, schedule) for o in separate]
        for update in range(UPDATES):
            assert separate[0].param_groups[0]["lr"] == pytest.approx(0.1 * schedule.factor(update), rel=1e-12)
            for o in (optimizer, *separate):
                o.zero_grad()
            (stacked.sin() * stacked).sum().backward()
            for p in single:
                (p.sin() * p).sum().backward()
            for o in (optimizer, *separate, *schedulers):
                o.step()
    torch.testing.assert_close(stacked.detach(), torch.stack(single).detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("schedule", [*SCHEDULES, Schedule("cosine", 11, 12), Schedule("cosine", 0, 1), Schedule()], ids=str)
def test_the_total_is_the_sum_of_the_factors(schedule):
    for updates in range(int(min(schedule.updates, 20)) + 1):
        assert schedule.total(updates) == pytest.approx(math.fsum(map(schedule.factor, range(updates))), rel=1e-13)


@pytest.mark.parametrize("target", [StopGradient, Pixels, lambda: EMA(0.9)])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.01}, {"optimizer": "adamw", "weight_decay": 0.1}])
@pytest.mark.parametrize("size", [1, 5])
def test_a_walk_is_on_the_schedule(target, options, size, monkeypatch):
    """In chunks and blocks, against one update at a time by autograd's gradients, kappa in a group of its own."""
    data = GaussianPairs([1.0, 0.8, 0.5], [0.9, 0.4, 0.7], basis="rotated")
    data.setup()
    moments = data.pairs(0, torch.device("cpu"))
    monkeypatch.setattr(exact, "block_size", lambda *_: size)
    learners = []
    for _ in range(2):
        stack = MLP(3, [4], 2, eps=0.3, init="normal", seeds=[0, 1, 2, 3, 4], dtype="float64")
        learners.append(
            Learner(stack, target(), [0.01, 0.02, 0.03, 0.04, 0.05], kappa=2.0, schedule="cosine", warmup=3, **options)
        )
        monkeypatch.setattr(learners[-1], "rates", lambda *_: Schedule("cosine", 3, UPDATES))
    walked, stepped = learners
    optimizer = walked.configure_optimizers()
    for chunk in (5, 7):
        walked.advance([moments] * chunk, optimizer)
    assert optimizer.updates == UPDATES
    optimizer = stepped.configure_optimizers()
    for _ in range(UPDATES):
        product = stepped.encoder.layers[1] @ stepped.encoder.layers[0]
        T = stepped.objective.matrix(stepped.objective.carried(), product).detach()
        optimizer.zero_grad()
        population.loss(stepped.predictor.weight @ product, T, *(moments[m] for m in ("Sxx", "Syx", "Syy"))).sum().backward()
        optimizer.step()
        stepped.objective.follow(stepped.objective.carried(), list(stepped.encoder.parameters()), 0)
    for one, other in zip(walked.parameters(), stepped.parameters(), strict=True):
        torch.testing.assert_close(one.detach(), other.detach(), rtol=1e-11, atol=1e-13)


def test_impossible_schedules_are_refused():
    other = object.__new__(Schedule)  # type checks of the tests would not let it be made
    object.__setattr__(other, "shape", "linear")
    with pytest.raises(ValueError, match="one of constant, cosine, found 'linear'"):
        other.__post_init__()
    with pytest.raises(ValueError, match=r"warmup must be .* found -1"):
        Learner(MLP(3, [4], 2), Pixels(), warmup=-1)
    with pytest.raises(ValueError, match=r"below the run.s 12 updates, found 12"):
        Schedule("cosine", 12, 12)
