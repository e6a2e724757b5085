"""Every objective is the published formula, written out here, for each network alone."""

import pytest
import torch
from torch.nn import functional

from models import EMA, MLP, Joint, Learner, Matrix, Perceptron, Pixels, SIGReg, StopGradient, VarianceCovariance


def encoder(networks=2):
    return MLP(6, [7], 5, "relu", eps=0.8, init="normal", seeds=list(range(networks)), dtype="float64")


def pairs(count=12):
    return torch.randn(2, 1, count, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def vicreg(x, y, invariance, variance, covariance):
    """As in the code of Bardes et al. (2022)."""
    loss = invariance * functional.mse_loss(x, y)
    for z in (x, y):
        z = z - z.mean(0)
        loss = loss + variance * functional.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean() / 2
        cov = z.T @ z / (len(z) - 1)
        loss = loss + covariance * (cov - torch.diag(torch.diag(cov))).pow(2).sum() / z.shape[1]
    return loss


@pytest.mark.parametrize("predictor", [Matrix, lambda: Perceptron([8])])
def test_both_views_with_variance_and_covariance_are_vicreg(predictor):
    objective = Joint(VarianceCovariance(20.0, 2.0), invariance=15.0, embedding=4)
    learner = Learner(encoder(), objective, predictor=predictor())
    x, y = pairs()
    z, other = (learner.predictor(learner.encoder(v)["features"]) for v in (x, y))
    found = learner.loss(x, y)
    for n in range(2):
        torch.testing.assert_close(found[n], vicreg(z[n], other[n], 15.0, 20.0, 2.0), rtol=1e-12, atol=1e-12)


def test_sigreg_is_the_statistic_of_epps_and_pulley():
    """By the closed form of its integral with the weight exp(-t^2 / 2), for samples s of a standard normal's rival: in one
    dimension every direction is 1 or -1, which give the same."""
    z = torch.randn(1, 40, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    s = z[0, :, 0]
    root = (2 * torch.pi) ** 0.5
    # int exp(-t^2/2) |phi_n(t) - exp(-t^2/2)|^2 dt over all t
    pairwise = torch.exp(-(s[:, None] - s).square() / 2).mean() * root
    cross = 2 * torch.exp(-s.square() / 4).mean() * torch.pi**0.5
    own = (2 * torch.pi / 3) ** 0.5
    exact = 40 * (pairwise - cross + own)
    found = SIGReg(2.0, directions=3, knots=2001)
    found.END = 12.0
    torch.testing.assert_close(found(z, 0)[0], 2.0 * exact, rtol=1e-6, atol=0)


def test_sigreg_is_small_for_a_normal_and_large_for_what_collapsed():
    draw = torch.Generator().manual_seed(3)
    normal = torch.randn(1, 2000, 8, generator=draw, dtype=torch.float64)
    term = SIGReg()
    fine, collapsed, stretched = (float(term(z, 5)) for z in (normal, 0 * normal, 4 * normal))
    assert fine < 0.05 * collapsed and fine < 0.05 * stretched


def test_directions_are_drawn_anew_in_every_update_and_are_a_function_of_it():
    z = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    term = SIGReg(directions=4)
    assert torch.equal(term(z, 1), term(z, 1)) and not torch.equal(term(z, 1), term(z, 2))


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("distance", ["squared", "smooth_l1"])
@pytest.mark.parametrize("kind", [StopGradient, Pixels, EMA])
def test_the_distance_is_the_one_of_torch(kind, distance, normalized):
    learner = Learner(encoder(), kind(distance=distance, normalized=normalized))
    x, y = pairs()
    prediction = learner.encoder(x)["features"] @ learner.predictor.weight.mT
    target = y.expand(2, -1, -1) if kind is Pixels else learner.encoder(y)["features"].detach()
    if normalized:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    for n in range(2):
        if distance == "squared":
            expected = functional.mse_loss(prediction[n], target[n], reduction="sum") / 2
        else:
            expected = functional.smooth_l1_loss(prediction[n], target[n], reduction="sum")
        torch.testing.assert_close(learner.loss(x, y)[n], expected / 12, rtol=1e-10, atol=0)


def test_a_regularizer_is_added_for_the_features_of_x():
    plain, more = (Learner(encoder(), StopGradient(regularizer=r)) for r in (None, VarianceCovariance(3.0, 0.5)))
    x, y = pairs()
    features = more.encoder(x)["features"]
    extra = more.loss(x, y) - plain.loss(x, y)
    for n in range(2):
        half = (vicreg(features[n], features[n], 0.0, 3.0, 0.5)) / 2
        torch.testing.assert_close(extra[n], half, rtol=1e-9, atol=1e-12)


def test_the_target_has_gradient_in_both_views_alone():
    x, y = pairs()
    for objective, through in ((StopGradient(), False), (Joint(VarianceCovariance()), True)):
        learner = Learner(encoder(), objective)
        y.requires_grad_(True)
        (gradient,) = torch.autograd.grad(learner.loss(x, y).sum(), y, allow_unused=True)
        assert (gradient is not None) == through


def test_a_teachers_decay_goes_to_its_last_value_linearly():
    objective = EMA(0.5, last=1.0, over=4)
    learner = Learner(encoder(), objective)
    weights = [p + 1 for p in learner.encoder.parameters()]
    for update, decay in enumerate([0.5, 0.625, 0.75, 0.875, 1.0, 1.0]):
        before = [p.clone() for p in objective.carried()]
        objective.follow(objective.carried(), weights, update)
        for old, new, weight in zip(before, objective.carried(), weights, strict=True):
            torch.testing.assert_close(new.data, decay * old.data + (1 - decay) * weight.data)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: EMA(0.5, last=1.0), "belong together"),
        (lambda: EMA(0.5, last=1.5, over=3), "last must lie in"),
        (lambda: Joint(VarianceCovariance(), invariance=0.0), "invariance must be finite and positive"),
        (lambda: Joint(VarianceCovariance(), embedding=0), "embedding must be at least 1"),
        (lambda: VarianceCovariance(-1.0), "variance must be finite and not negative"),
        (lambda: SIGReg(knots=1), "knots at least 2"),
        (lambda: Perceptron([0]), "at least one unit"),
    ],
)
def test_impossible_options_are_refused(made, says):
    with pytest.raises(ValueError, match=says):
        made()


@pytest.mark.parametrize(
    "model",
    [
        {"objective": StopGradient(distance="smooth_l1")},
        {"objective": StopGradient(regularizer=SIGReg())},
        {"objective": Joint(SIGReg())},
        {"objective": StopGradient(), "predictor": Perceptron([4])},
    ],
)
def test_exact_moments_refuse_what_is_no_function_of_them(model):
    linear = MLP(3, [3], 2, seeds=[0], dtype="float64")
    learner = Learner(linear, **model)
    moments = {name: torch.eye(3, dtype=torch.float64)[None] for name in ("Sxx", "Syx", "Syy")}
    with pytest.raises(ValueError, match=r"exact moments train linear encoders .*; give the data a batch size"):
        learner.advance([moments], learner.configure_optimizers())
