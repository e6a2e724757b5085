"""Distractors of every kind: orthonormal directions of the stated form, and views of the stated covariances."""

import itertools

import pytest
import scipy.fft
import torch
from noisy import noisy

from datamodules import Moments, random
from datamodules.noise import Distractor, check, directions

CPU = torch.device("cpu")
KINDS = ["global", "patch", "smooth"]
SIZE, K, A, GAMMA, SIGMA = 8, 12, 3.0, 0.4, 0.2  # 4 patches with 3 patterns each
SHAPE = [3, SIZE, SIZE]


@pytest.fixture(scope="module", params=KINDS)
def data(request):
    made = noisy(
        size=SIZE, count=300, directions=K, distractor=request.param, amplitude=A, gamma=GAMMA, sigma=SIGMA, seeds=[0, 7],
        batch=4000,
    )  # fmt: skip
    made.setup()
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "count"), [(4, 1), (4, 48), (8, 20), (12, 9)])
def test_directions_are_orthonormal(kind, size, count):
    D = directions(kind, [0, 1], [3, size, size], count).double()
    torch.testing.assert_close(D.mT @ D, torch.eye(count, dtype=torch.float64).expand(2, -1, -1), rtol=0, atol=1e-5)
    assert torch.equal(D[0], D[1]) == (kind == "smooth")
    torch.testing.assert_close(directions(kind, [1], [3, size, size], count)[0].double(), D[1])


def test_patches_hold_the_same_patterns_each_by_itself():
    D = directions("patch", [3], SHAPE, K)[0].unflatten(0, (3, SIZE, SIZE)).unflatten(-1, (3, 4))
    places = list(itertools.product((0, 4), repeat=2))
    patterns = [D[:, r : r + 4, c : c + 4, :, p] for p, (r, c) in enumerate(places)]
    for p, pattern in enumerate(patterns):
        assert torch.equal(pattern, patterns[0])
        torch.testing.assert_close(pattern.square().sum((0, 1, 2)), D[..., p].square().sum((0, 1, 2)))  # no weight elsewhere


def test_smooth_directions_are_the_lowest_frequencies_of_the_cosine_transform():
    D = directions("smooth", [0], [3, 6, 6], 40)[0].double().unflatten(0, (3, 6, 6))
    found = []
    for k in range(40):
        spectrum = torch.from_numpy(scipy.fft.dctn(D[..., k].numpy(), axes=(1, 2), norm="ortho"))
        channel, u, v = (spectrum > 0.5).nonzero()[0].tolist()
        assert float(spectrum[channel, u, v]) == pytest.approx(1, abs=1e-6)
        found.append((channel, u, v))
    assert len(set(found)) == 40
    squares = [u * u + v * v for _, u, v in found]
    assert squares == sorted(squares)
    everything = sorted(u * u + v * v for u, v in itertools.product(range(6), repeat=2) for _ in range(3))
    assert squares == everything[:40]


def test_views_have_the_moments_that_are_stated(data):
    """Entries of a covariance from n pairs have a standard error of at most sqrt(2 S_ii S_jj / n) for normal numbers."""
    for s, exact in enumerate(data.moments()):
        exact.check()
        measured = Moments.stream((b.x.values[s], b.y.values[s]) for b in (data.pairs(u, CPU) for u in range(10)))
        scale = exact.Sxx.diagonal().sqrt()
        for name in ("Sxx", "Syx", "Syy"):
            gap = (getattr(measured, name) - getattr(exact, name)) / (scale * scale[:, None])
            assert float(gap.abs().max()) < 6 * (2 / measured.count) ** 0.5, name


def test_lambda_and_rho_along_the_distractor(data):
    for s, exact in enumerate(data.moments()):
        D = data.noise.D_SdK[s].double()
        images = (data.clean("train").double() @ D).square().mean(0)
        lam, variance = (((D.T @ S) * D.T).sum(1) for S in (exact.Syx, exact.Sxx))
        torch.testing.assert_close(lam, images + GAMMA * A**2, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(lam / variance, lam / (images + A**2 + SIGMA**2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_alone_has_its_lambda_and_rho_and_independent_coefficients(kind):
    """Along D: A^2 + sigma^2 in a view, gamma A^2 between views, none between coefficients, those of other patches included."""
    n = 40_000
    noise = Distractor(kind, K, A, GAMMA, SIGMA)
    noise.attach(SHAPE, [5])
    clean = torch.zeros(1, n, 3 * SIZE**2)
    x, y = (v[0] @ noise.D_SdK[0] for v in noise.views(clean, clean, 0))
    eye = torch.eye(K, dtype=torch.float64)
    moments = Moments.of(x, y)
    for name, expected in (("Sxx", A**2 + SIGMA**2), ("Syx", GAMMA * A**2), ("Syy", A**2 + SIGMA**2)):
        torch.testing.assert_close(getattr(moments, name), expected * eye, rtol=0, atol=6 * A**2 * (2 / n) ** 0.5)
    D = noise.D_SdK[0].double()
    nothing = torch.zeros(len(D), len(D), dtype=torch.float64)
    (made,) = noise.moments(Moments(nothing, nothing, nothing))
    for found in (made.Sxx, made.Syy):
        torch.testing.assert_close(found, A**2 * D @ D.T + SIGMA**2 * torch.eye(len(D)))
    torch.testing.assert_close(made.Syx, GAMMA * A**2 * D @ D.T)
    if kind == "patch":
        blocks = made.Syx.view(3, 2, 4, 2, 4, 3, 2, 4, 2, 4)
        assert float(blocks[:, 0, :, 0, :, :, 1, :, 0].abs().max()) == 0
        assert float(blocks[:, 0, :, 0, :, :, 0, :, 0].abs().max()) > 0


def test_coordinates_are_what_evaluation_drew(data):
    """x = image + D a + n with n from its own stream; a slice is the slice of the whole."""
    for s, seed in enumerate(data.seeds):
        x, _ = data.evaluation("train", s, 0, 200, CPU)
        a = data.coordinates("train", s, 0, 200, CPU)["distractor"]
        n = x - data.clean("train", 200) - a @ data.noise.D_SdK[s].T
        drawn = SIGMA * random.normal([random.key(seed, 4, -1)], 200, 2 * data.inputs)[0, :, : data.inputs]
        torch.testing.assert_close(n, drawn, rtol=0, atol=1e-5)
        assert float(n.std()) == pytest.approx(SIGMA, rel=0.02)
        torch.testing.assert_close(data.coordinates("train", s, 50, 60, CPU)["distractor"], a[50:60])
        assert float(a.std()) == pytest.approx(A, rel=0.1)
    assert len(data.coordinates("test", 0, 0, 10**6, CPU)["distractor"]) == len(data.labels("test"))


def test_the_global_distractor_is_made_as_ever():
    """Its streams and its arithmetic, bit for bit: what was trained on it stays comparable."""
    data = noisy(size=4, count=100, directions=5, amplitude=2.0, gamma=0.3, sigma=0.1, seeds=[2, 9], batch=8)
    data.setup()
    x, y = data.evaluation("test", 1, 3, 11, CPU)
    D = torch.linalg.qr(random.normal([random.key(s, 0) for s in (2, 9)], 48, 5))[0]
    assert torch.equal(data.noise.D_SdK, D)
    z = random.normal([random.key(9, 3, -3)], 8, 15, 3)
    n = random.normal([random.key(9, 4, -3)], 8, 96, 3)
    image = data.clean("test", 11)[3:][None]
    for view, own, white in ((x, z[..., 5:10], n[..., :48]), (y, z[..., 10:], n[..., 48:])):
        a = z[..., :5] * 0.3**0.5 + (1 - 0.3) ** 0.5 * own
        assert torch.equal(view, torch.baddbmm(white * 0.1 + image, a, D[1:].mT, alpha=2.0)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 6, "directions": 4}, "size must be a multiple of 4, the side of a patch of the distractor, found 6"),
        ({"size": 8, "directions": 6}, "directions must be a multiple of the 4 patches of the distractor, up to 192, found 6"),
        ({"size": 8, "directions": 196}, "directions must be from 1 to 192 .the inputs., found 196"),
    ],
)
def test_directions_that_do_not_fit_the_patches_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check("patch", [3, options["size"], options["size"]], options["directions"])
