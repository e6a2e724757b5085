"""Networks, targets, gradients and optimisers, each against an independent reference."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import GaussianPairs
from models import EMA, MLP, Learner, Pixels, StopGradient, exact, population
from models.optimizers import SGD, AdamW

DECAY = torch.tensor([0.1, 0.1], dtype=torch.float64)
TARGETS = {"jepa": StopGradient, "ema": lambda: EMA(0.9), "mae": Pixels}


def encoder(seeds=(0, 1), inputs=5, hidden=(4,), features=3, **options):
    return MLP(inputs, list(hidden), features, seeds=list(seeds), dtype="float64", **{"eps": 0.1, **options})


@pytest.mark.parametrize("hidden", [(), (4,), (4, 4), (4, 3, 5)])
@pytest.mark.parametrize("target", TARGETS)
def test_population_gradient_is_that_of_autograd(hidden, target):
    data = GaussianPairs([1.0, 0.5, 0.8, 0.3, 0.2], [0.5, 0.9, 1.5, 0.7, 1.0], basis="rotated")
    data.setup()
    moments = data.pairs(0, torch.device("cpu"))
    learner = Learner(encoder(hidden=hidden, init="normal"), TARGETS[target]())
    with torch.no_grad():  # the teacher must differ from the student for the test to see it
        for p in learner.encoder.parameters():
            p.add_(0.3 * torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(1)))
    before = [p.detach().clone() for p in (*learner.encoder.parameters(), learner.predictor.weight)]
    twin = copy.deepcopy(learner)
    twin.advance([moments], SGD([*twin.encoder.parameters(), twin.predictor.weight], torch.ones(2, dtype=torch.float64)))
    loss = twin.losses
    found = [p - q.detach() for p, q in zip(before, (*twin.encoder.parameters(), twin.predictor.weight), strict=True)]
    # 2 d weighted samples that have exactly these moments: the columns of a square root of the joint second moment.
    joint = torch.cat(
        [torch.cat([moments["Sxx"][0], moments["Syx"][0].T], 1), torch.cat([moments["Syx"][0], moments["Syy"][0]], 1)]
    )
    values, vectors = torch.linalg.eigh(joint)
    samples = (vectors * values.clamp(min=0).sqrt()).T * len(joint) ** 0.5
    learner.zero_grad(set_to_none=True)
    expected = learner.loss(samples[None, :, :5], samples[None, :, 5:])
    expected.sum().backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-10, atol=1e-12)
    for mine, p in zip(found, (*learner.encoder.parameters(), learner.predictor.weight), strict=True):
        torch.testing.assert_close(mine, p.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("hidden", [(6,), (6, 5), (6, 5, 4)])
def test_forward_equals_torch_layers(activation, hidden):
    stack = encoder(hidden=hidden, activation=activation)
    x = torch.randn(1, 7, 5, dtype=torch.float64)
    nonlinear = {"relu": torch.nn.ReLU, "gelu": torch.nn.GELU, "tanh": torch.nn.Tanh}[activation]
    for n in range(2):
        layers = []
        for weight, bias in zip(stack.layers, stack.biases, strict=True):
            layer = torch.nn.Linear(weight.shape[2], weight.shape[1], dtype=torch.float64)
            layer.weight.data, layer.bias.data = weight.data[n], bias.data[n, 0]
            layers += [layer, nonlinear()]
        torch.testing.assert_close(stack(x)["features"][n], torch.nn.Sequential(*layers[:-1])(x[0]))
    assert list(stack(x)) == stack.taps


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_n_stacked_equal_n_separate(target, optimizer, activation):
    """Different seeds and rates, trained together and one by one."""
    seeds, rates = [3, 8, 11], [0.01, 0.03, 0.1]
    pairs = GaussianPairs([1.0, 0.5, 0.8, 0.3, 0.2], [0.5, 0.9, 0.7, 0.6, 1.0], batch=16)
    momentum = 0.9 if optimizer == "sgd" else 0.0

    def train(members):
        stack = encoder([seeds[m] for m in members], activation=activation, init="normal")
        learner = Learner(stack, TARGETS[target](), [rates[m] for m in members], optimizer, momentum, weight_decay=0.01)
        step = learner.configure_optimizers()
        learner.advance((pairs.pairs(update, torch.device("cpu")) for update in range(20)), step)
        return [p.detach() for p in learner.parameters()]

    together = train([0, 1, 2])
    for m in range(3):
        for whole, alone in zip(together, train([m]), strict=True):
            torch.testing.assert_close(whole[m : m + 1], alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (lambda p, lr: SGD(p, lr), lambda p, lr: torch.optim.SGD(p, lr)),
        (lambda p, lr: SGD(p, lr, 0.9, DECAY), lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, weight_decay=0.1)),
        (lambda p, lr: SGD(p, lr, 0.0, DECAY), lambda p, lr: torch.optim.SGD(p, lr, weight_decay=0.1)),
        (lambda p, lr: AdamW(p, lr, weight_decay=DECAY), lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=0.1)),
        (lambda p, lr: AdamW(p, lr), lambda p, lr: torch.optim.Adam(p, lr)),
    ],
)
def test_optimizers_equal_torchs_network_by_network(mine, theirs):
    rates = torch.tensor([0.1, 0.003], dtype=torch.float64)
    start = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    stacked = start.clone().requires_grad_()
    single = [start[n].clone().requires_grad_() for n in range(2)]
    optimizer, separate = mine([stacked], rates), [theirs([p], float(r)) for p, r in zip(single, rates, strict=True)]
    for _ in range(10):
        for o in (optimizer, *separate):
            o.zero_grad()
        (stacked.sin() * stacked).sum().backward()
        for p in single:
            (p.sin() * p).sum().backward()
        for o in (optimizer, *separate):
            o.step()
    torch.testing.assert_close(stacked.detach(), torch.stack(single).detach(), rtol=1e-12, atol=1e-14)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.floats(1e-4, 1.0))
def test_balanced_initialisation_has_all_singular_values_equal(sizes, eps):
    sizes[-1] = min(sizes)  # the narrowest layer decides how many modes pass
    stack = MLP(sizes[0], sizes[1:-1], sizes[-1], eps=eps, seeds=[5], dtype="float64")
    for weight in stack.layers:
        values = torch.linalg.svdvals(weight[0])
        torch.testing.assert_close(values, torch.full_like(values, eps ** (1 / stack.depth)))
    for target in (StopGradient(), Pixels()):
        head = Learner(stack, target).predictor.weight
        assert head.shape == (1, sizes[-1] if target.latent else sizes[0], sizes[-1])


def test_mae_head_starts_as_the_encoders_transpose():
    stack = encoder(hidden=(5,), features=5)
    product = stack.layers[1] @ stack.layers[0]
    head = Learner(stack, Pixels()).predictor.weight
    torch.testing.assert_close(head, product.mT * 0.1**0.5 / 0.1)
    torch.testing.assert_close(Learner(stack, StopGradient()).predictor.weight[0], 0.1**0.5 * torch.eye(5, dtype=torch.float64))


def test_normal_initialisation_has_its_scale():
    stack = MLP(400, [300], 200, eps=0.25, init="normal", seeds=[0], dtype="float64")
    for weight in stack.layers:
        assert weight.detach().std().item() == pytest.approx(0.5 / weight.shape[2] ** 0.5, rel=0.02)


def test_ema_moves_after_the_step_towards_the_encoder():
    target = EMA(0.75)
    learner = Learner(encoder(), target)
    before = [p.clone() for p in target.encoder.parameters()]
    with torch.no_grad():
        for p in learner.encoder.parameters():
            p.add_(1.0)
    target.follow(target.carried(), list(learner.encoder.parameters()), 0)
    for old, new in zip(before, target.encoder.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)
    assert not any(p.requires_grad for p in target.parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(4, [], 5), "at most the 4 inputs"),
        (lambda: MLP(4, [0], 2), "at least one unit"),
        (lambda: MLP(4, [4], 2, eps=0.0), "eps"),
        (lambda: MLP(4, [], 2, "relu"), "one to three hidden"),
        (lambda: MLP(4, [4] * 4, 2, "tanh"), "one to three hidden"),
        (lambda: MLP(4, [4], 2, seeds=[]), "one seed per network"),
        (lambda: EMA(1.0), "decay"),
        (lambda: Learner(encoder(), Pixels(), lr=[0.1]), "1 values for 2 networks"),
        (lambda: Learner(encoder(), Pixels(), lr=0.0), "positive"),
        (lambda: Learner(encoder(), Pixels(), momentum=1.0), "momentum"),
        (lambda: Learner(encoder(), Pixels(), optimizer="adamw", momentum=0.9), "no effect"),
    ],
)
def test_impossible_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_moments_train_linear_encoders_only():
    data = GaussianPairs([1.0] * 5, [0.5] * 5)
    data.setup()
    learner = Learner(encoder(activation="relu"), Pixels())
    with pytest.raises(ValueError, match="linear encoders with a matrix"):
        learner.advance([data.pairs(0, torch.device("cpu"))], learner.configure_optimizers())


@pytest.mark.parametrize("target", [StopGradient, Pixels, lambda: EMA(0.9)])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.01}, {"optimizer": "adamw", "weight_decay": 0.1}])
@pytest.mark.parametrize("size", [1, 2])
def test_walking_in_blocks_is_the_same_as_stepping_together(target, options, size, monkeypatch):
    """Also where the last block is smaller, over chunks, and with the state of every optimiser and target."""
    data = GaussianPairs([[1.0, 0.8, 0.5]] * 5, [[0.9, 0.4, 0.7]] * 5, basis="rotated")
    data.setup()
    moments = data.pairs(0, torch.device("cpu"))
    ends = []
    for block, chunks in ((5, (1,) * 9), (size, (6, 3))):
        monkeypatch.setattr(exact, "block_size", lambda *_, block=block: block)
        stack = MLP(3, [4], 2, eps=0.3, init="normal", seeds=[0, 1, 2, 3, 4], dtype="float64")
        learner = Learner(stack, target(), [0.01, 0.02, 0.03, 0.04, 0.05], **options)
        optimizer = learner.configure_optimizers()
        for chunk in chunks:
            learner.advance([moments] * chunk, optimizer)
        ends.append([learner.losses, *(p.detach() for p in learner.parameters())])
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_rates_and_decays_of_their_own_are_those_of_separate_networks(optimizer):
    """kappa and weight decay per network, on exact moments; kappa is the rate of the head's own parameter group in torch."""
    data = GaussianPairs([1.0, 0.8, 0.5], [0.9, 0.4, 0.7], basis="rotated")
    data.setup()
    moments = data.pairs(0, torch.device("cpu"))
    rates, decays, kappas = [0.01, 0.03], [0.0, 0.1], [1.0, 3.0]
    stack = MLP(3, [4], 2, eps=0.3, init="normal", seeds=[0, 1], dtype="float64")
    learner = Learner(stack, StopGradient(), rates, optimizer, weight_decay=decays, kappa=kappas)
    start = [p.detach().clone() for p in (*stack.layers, learner.predictor.weight)]
    learner.advance([moments] * 20, learner.configure_optimizers())
    make = torch.optim.SGD if optimizer == "sgd" else torch.optim.AdamW
    for n in range(2):
        *layers, head = (p[n : n + 1].clone().requires_grad_() for p in start)
        theirs = make([{"params": layers}, {"params": [head], "lr": rates[n] * kappas[n]}], lr=rates[n], weight_decay=decays[n])
        for _ in range(20):
            theirs.zero_grad()
            product = layers[1] @ layers[0]
            VW, T = head @ product, product.detach()
            population.loss(VW, T, *(moments[m] for m in ("Sxx", "Syx", "Syy"))).sum().backward()
            theirs.step()
        for mine, other in zip((*stack.layers, learner.predictor.weight), (*layers, head), strict=True):
            torch.testing.assert_close(mine[n : n + 1], other, rtol=1e-11, atol=1e-13)
