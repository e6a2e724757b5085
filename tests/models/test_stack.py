"""N networks of any kind in a stack are N networks on their own; what cannot be stacked is refused by name."""

import pytest
import torch
import torchvision
from torch import nn

from models import MLP, Stack
from models.networks import Convolution, ViT

NETWORKS = {
    "convolution": lambda: Convolution(8, widths=[8, 16], patch=2, features=6, groups=4),
    "cifar stem": lambda: Convolution(8, widths=[8], patch=1, features=6, groups=4),
    "vit": lambda: ViT(8, width=16, depth=2, heads=2, features=6),
}
SHAPE = [3, 8, 8]


def views(sets=1, count=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sets, count, 192, generator=generator, dtype=torch.float64)


def built(network, seed):
    torch.manual_seed(seed)
    return network().double()


@pytest.mark.parametrize("sets", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_n_stacked_equal_n_separate(name, sets):
    """Features and gradients, against the module itself."""
    seeds = [3, 5, 8]
    stack = Stack(NETWORKS[name], SHAPE, seeds=seeds, dtype="float64")
    x = views(sets)
    found = stack(x)["features"]
    found.square().sum().backward()
    for n, seed in enumerate(seeds):
        module = built(NETWORKS[name], seed)
        alone = module(x[min(n, sets - 1)].unflatten(-1, SHAPE))["features"]
        torch.testing.assert_close(found[n], alone, rtol=0, atol=1e-10)
        alone.square().sum().backward()
        for weight, own in zip(stack.weights, module.parameters(), strict=True):
            torch.testing.assert_close(weight.grad[n], own.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_single_network_is_the_one_in_a_stack(name):
    """It is called as it is, without `vmap`."""
    both, one = (Stack(NETWORKS[name], SHAPE, seeds=seeds, dtype="float64") for seeds in ([1, 2], [2]))
    taps, alone = both(views()), one(views())
    assert list(taps) == list(alone) == one.taps and one.taps[-1] == "features"
    for tap in taps:
        assert taps[tap].ndim == 3
        torch.testing.assert_close(taps[tap][1:], alone[tap], rtol=0, atol=1e-10)


def test_initialisation_is_a_function_of_the_seed_alone():
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    first, again = (Stack(NETWORKS["vit"], SHAPE, seeds=[4]) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.weights, again.weights, strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


def test_any_module_has_the_taps_that_are_named():
    network = lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.Linear(7, 4))  # noqa: E731
    stack = Stack(network, SHAPE, recorded=["1"], seeds=[0, 1], dtype="float64")
    taps = stack(views())
    assert stack.taps == ["1", "features"] and stack.features == 4
    for n in range(2):
        module = built(network, n)
        torch.testing.assert_close(taps["1"][n], module[:2](views()[0].unflatten(-1, SHAPE)))


def test_networks_of_torchvision_can_be_stacked():
    stack = Stack(lambda: torchvision.models.squeezenet1_1(dropout=0.0, num_classes=5), [3, 32, 32], seeds=[0, 1])
    assert stack(torch.zeros(1, 2, 3 * 32 * 32))["features"].shape == (2, 2, 5)


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.fixed = nn.Parameter(torch.ones(192), requires_grad=False)
        self.register_buffer("scale", torch.tensor(2.0))
        self.last = nn.Linear(192, 3)

    def forward(self, x):
        return self.last(x.flatten(1) * self.fixed * self.scale)


def test_frozen_weights_and_constants_stay_as_they_are():
    stack = Stack(Frozen, SHAPE, seeds=[0, 1], dtype="float64")
    assert [p.requires_grad for p in stack.weights] == [False, True, True]
    assert "constant0" not in stack.state_dict()
    stack(views())["features"].sum().backward()
    assert stack.weights[0].grad is None


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))


class Mixed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.Linear(144, 3))


class Random(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(192, 3), nn.Dropout(0.5))


class Text(nn.Linear):
    def __init__(self):
        super().__init__(8, 3)

    def forward(self, x):
        return {"stem": super().forward(x)}


class Endless(nn.Linear):
    def __init__(self):
        super().__init__(8, 3)
        self.weight.data.fill_(float("inf"))


BAD = {
    "batch statistics": (Normed, "Normed changes its buffers, as batch normalisation does"),
    "other samples": (Mixed, "features of Mixed depends on the other samples"),
    "dropout": (Random, "features of Random is random"),
    "no features": (Text, "Text must return features .* found \\['stem'\\]"),
    "not finite": (Endless, "features of Endless is not finite"),
    "another shape": (lambda: nn.Linear(5, 3), "Linear cannot take views of shape \\[3, 8, 8\\]"),
    "no parameters": (nn.Flatten, "Flatten has no parameters"),
    "no module": (dict, "network must make a torch module, found dict"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_stacked_is_refused_by_name(case):
    network, says = BAD[case]
    with pytest.raises(ValueError, match=says):
        Stack(network, SHAPE)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: Convolution(10), "patch 4 must divide the side 10"),
        (lambda: Convolution(8, widths=[12]), "groups 8 all widths"),
        (lambda: Convolution(8, widths=[]), "a width per block"),
        (lambda: ViT(8, width=10, heads=4), "heads 4 the width 10"),
        (lambda: Stack(nn.Flatten, []), "shape must hold the sizes"),
    ],
)
def test_impossible_sizes_are_refused(made, says):
    with pytest.raises(ValueError, match=says):
        made()


def test_every_parameter_has_the_network_as_its_first_axis():
    for encoder in (MLP(8, [4], 3, "relu", seeds=[0, 1, 2]), Stack(NETWORKS["vit"], SHAPE, seeds=[0, 1, 2])):
        assert {len(p) for p in encoder.parameters()} == {3}
