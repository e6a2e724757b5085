"""The fused kernels against the plain updates of models.population, and these in float64."""

import pytest
import torch

from datamodules import GaussianPairs
from datamodules.views import Pair, View
from models import EMA, MLP, Learner, Pixels, StopGradient, fused

N, UPDATES = 5, 60


def moments(d: int, sets: int) -> dict[str, torch.Tensor]:
    lam, rho = ([torch.linspace(a + 0.1 * s, b, d).tolist() for s in range(sets)] for a, b in ((0.5, 1.5), (0.3, 0.9)))
    data = GaussianPairs(lam, rho, basis="rotated", updates=1)
    data.setup()
    return data.pairs(0, torch.device("cpu"))


def learner(widths: tuple[int, list[int], int], target: object, networks: int = N, **options: object) -> Learner:
    d, hidden, k = widths
    encoder = MLP(d, hidden, k, eps=0.5, seeds=list(range(networks)), dtype=options.pop("dtype", "float32"))
    return Learner(encoder, target, **options)


def trained(made: Learner, data: dict[str, torch.Tensor], updates: tuple[int, ...] = (UPDATES,)) -> list[torch.Tensor]:
    optimizer = made.configure_optimizers()
    for count in updates:
        made.advance(iter([data] * count), optimizer)
    return [p.detach() for p in (*made.encoder.layers, made.predictor.weight)] + [made.losses]


def close(found: list[torch.Tensor], exact: list[torch.Tensor], tolerance: float) -> None:
    for a, b in zip(found, exact, strict=True):
        assert (a.double() - b.double()).abs().max() <= tolerance * b.abs().max()


OPTIONS = {
    "plain": {"lr": 0.1},
    "per network": {
        "lr": [0.1, 0.05, 0.02, 0.1, 0.08],
        "kappa": [1.0, 2.0, 0.5, 3.0, 1.5],
        "weight_decay": [0.0, 0.1, 0.2, 0.0, 0.3],
    },
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("sets", [1, N])
@pytest.mark.parametrize("target", [StopGradient, Pixels])
@pytest.mark.parametrize("widths", [(2, [2], 2), (5, [], 5), (16, [16], 16), (20, [24, 7, 33], 6), (40, [40] * 3, 40)])
def test_kernel_makes_the_plain_updates(widths, target, sets, options, monkeypatch):
    data, calls = moments(widths[0], sets), []
    monkeypatch.setattr(fused, "train", lambda *arguments, train=fused.train: calls.append(1) or train(*arguments))
    single = trained(learner(widths, target(), **options), data)
    double = trained(learner(widths, target(), dtype="float64", **options), data)
    assert len(calls) == 2
    monkeypatch.setattr(fused, "applies", lambda weights: False)
    plain = trained(learner(widths, target(), dtype="float64", **options), data)
    assert len(calls) == 2
    close(double, plain, 1e-13)
    close(single, plain, 5e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_networks_do_not_know_of_each_other_and_chunks_leave_no_trace(workers, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: workers)
    widths, data = (20, [24], 12), moments(20, 1)
    together = trained(learner(widths, StopGradient(), lr=0.1), data)
    alone = trained(learner(widths, StopGradient(), 1, lr=0.1), data)
    in_chunks = trained(learner(widths, StopGradient(), lr=0.1), data, (7, UPDATES - 8, 1))
    for whole, first, pieces in zip(together, alone, in_chunks, strict=True):
        assert torch.equal(whole[:1], first)
        assert torch.equal(whole, pieces)


@pytest.mark.parametrize(
    "made",
    [
        lambda: learner((8, [], 8), StopGradient(), momentum=0.5),
        lambda: learner((8, [], 8), StopGradient(), optimizer="adamw"),
        lambda: learner((8, [], 8), EMA()),
        lambda: learner((8, [], 8), StopGradient(), warmup=5),
        lambda: learner((70, [], 70), StopGradient()),
    ],
)
def test_other_updates_are_left_to_the_plain_path(made, monkeypatch):
    monkeypatch.setattr(fused, "train", None)
    made = made()
    trained(made, moments(made.encoder.layers[0].shape[-1], 1), (2,))


class Half(StopGradient):
    """A target of a user's, latent and without weights of its own: half of the features of y."""

    def target(self, encoder, predictor, y):
        return super().target(encoder, predictor, y) / 2

    def matrix(self, carried, product):
        return product / 2


def test_a_target_that_is_not_one_of_ours_is_trained_by_its_own_matrix():
    """As autograd does with its `target`, on pairs whose sample moments are the moments."""
    d, k, rate = 4, 3, 0.1
    x, y = torch.randn(2, 1, 64, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = {"Sxx": x.mT @ x / 64, "Syx": y.mT @ x / 64, "Syy": y.mT @ y / 64}
    by_moments, by_pairs = (learner((d, [5], k), Half(), dtype="float64", lr=rate) for _ in range(2))
    found, exact = trained(by_moments, data, (20,)), trained(by_pairs, Pair(View(x), View(y)), (20,))
    close(found, exact, 1e-12)
    theirs = trained(learner((d, [5], k), StopGradient(), dtype="float64", lr=rate), data, (20,))
    assert (found[0] - theirs[0]).abs().max() > 1e-3


def test_moments_of_another_width_than_the_weights_are_an_error_of_the_program():
    made, other = learner((4, [], 4), StopGradient(), dtype="float64"), moments(6, 1)
    rate = torch.ones(N, 2, dtype=torch.float64)
    with pytest.raises(AssertionError, match="moments of 4 inputs"):
        fused.train(
            [*made.encoder.layers, made.predictor.weight], tuple(other[s] for s in ("Sxx", "Syx", "Syy")), rate, rate, True, 1
        )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(bad):
    made = learner((16, [16], 16), StopGradient(), lr=0.1)
    with torch.no_grad():
        made.encoder.layers[0][2, 3, 4] = bad
    trained(made, moments(16, 1), (3,))
    assert made.finite().tolist() == made.losses.isfinite().tolist() == [True, True, False, True, True]


def no_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "no-such-compiler")


def unknown_processor(monkeypatch):
    monkeypatch.setitem(fused.C_TYPES, torch.float32, "no_such_type")


def not_loadable(monkeypatch):
    def refuse(path):
        raise OSError(f"{path}: failed to map segment from shared object")

    monkeypatch.setattr(fused.ctypes, "CDLL", refuse)


@pytest.mark.parametrize(
    ("lacks", "says"), [(no_compiler, "CC"), (unknown_processor, "no_such_type"), (not_loadable, "failed to map segment")]
)
def test_without_the_c_kernel_the_plain_path_is_taken_and_said_once(lacks, says, monkeypatch, capsys):
    lacks(monkeypatch)
    fused.library.cache_clear()
    fused.say.cache_clear()
    try:
        found = trained(learner((16, [16], 16), StopGradient(), lr=0.1), moments(16, 1))
        trained(learner((16, [16], 16), StopGradient(), lr=0.1), moments(16, 1))
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("study: no C kernel") and says in line
    finally:
        fused.library.cache_clear()
    monkeypatch.undo()
    close(found, trained(learner((16, [16], 16), StopGradient(), lr=0.1), moments(16, 1)), 5e-6)


INTERPRETED = """
import torch
from models.fused import pad, train
from models.fused_triton import launch
generator = torch.Generator().manual_seed(0)
for shapes, sets, latent in ((((24, 20), (7, 24), (20, 7)), 1, False), (((30, 30),) * 4, 3, True)):
    first = [torch.randn(3, *shape, generator=generator) * 0.2 for shape in shapes]
    root, Syx, other = torch.randn(3, sets, shapes[0][1], shapes[0][1], generator=generator) * 0.1
    moments = root @ root.mT, Syx, other @ other.mT
    rate, decay = torch.rand(2, 3, len(shapes), generator=generator) * 0.1
    ours = [w.clone() for w in first]
    losses = [train(ours, moments, rate, 1 - decay, latent, 5), torch.empty(3)]
    theirs = [pad(w, 32) for w in first]
    launch(theirs, tuple(pad(S, 32) for S in moments), rate, 1 - decay, latent, 5, losses[1])
    for a, b, old in zip([losses[0], *ours], [losses[1], *theirs], [torch.zeros(3), *first], strict=True):
        b = b[tuple(slice(size) for size in a.shape)]
        assert (a - old).abs().max() > 1e-3
        assert (a - b).abs().max() < 2e-6 * a.abs().max(), (a - b).abs().max()
"""

COMPILED = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from models.fused import shared_bytes
from models.fused_triton import train, warps
for depth, n in ((1, 16), (3, 32)):
    signature = dict.fromkeys(("W", "Sxx", "Syx", "rate", "keep"), "*fp32") | {"updates": "i32"}
    signature |= dict.fromkeys(("shared", "depth", "n", "latent"), "constexpr")
    constants = {(6,): True, (7,): depth, (8,): n, (9,): True}
    options = {"num_warps": warps(depth, n), "enable_fp_fusion": True}
    made = compile(ASTSource(train, signature, constants), target=GPUTarget("cuda", 90, 32), options=options)
    assert made.metadata.shared <= shared_bytes(depth, n), (made.metadata.shared, depth, n)
    assert "fma.rn.f32" in made.asm["ptx"] and "mma" not in made.asm["ptx"]  # full float32, no tensor cores
"""


@pytest.mark.parametrize(("script", "interpret"), [(INTERPRETED, "1"), (COMPILED, "0")], ids=["arithmetic", "compiles"])
def test_triton_kernel(script, interpret, triton):
    triton(script, interpret)
