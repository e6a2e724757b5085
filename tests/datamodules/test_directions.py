"""Directions found by products with moments: against planted features, and against those of the matrices."""

import pytest
import torch

from datamodules import SourcePairs, directions
from datamodules.directions import strongest
from datamodules.noise import Distractor, Noise, White
from datamodules.pairings import Crops, Same
from datamodules.products import Dense, Streamed
from datamodules.sources import Builtin


def images(kind="patch", pairing=None, K=16, amplitude=3.0):
    data = SourcePairs(Builtin(size=8), Distractor(kind, K, amplitude), pairing, count=500, seeds=[3, 4])
    data.setup()
    return data


def test_planted_features_are_found_where_matrices_would_be_too_large():
    """In orthogonal directions, samples of variance e have lam = e and rho = e / (e + s), the distractor lam = gamma A^2 and
    rho = gamma A^2 / (A^2 + s) with white noise of variance s."""
    d, s, A, gamma = directions.DENSE + 500, 0.25, 2.0, 0.4
    noise = Distractor("global", 6, A, gamma, s**0.5)
    noise.attach([d], [7])
    e = torch.tensor([9.0, 7.0, 4.0, 2.5, 1.2, 0.8, 0.5, 0.3, 0.2, 0.1])
    D = noise.D_SdK[0].double()
    g = torch.Generator().manual_seed(0)
    own = torch.randn(d, len(e), generator=g, dtype=torch.float64)
    U = torch.linalg.qr(own - D @ (D.T @ own))[0]
    x = ((len(e) * e).sqrt() * U).T.float()  # as many samples, whose second moments are U e U^T
    products = Streamed(d, lambda: iter([(x[:4], x[:4]), (x[4:], x[4:])]), noise)
    found = strongest(products, 6)
    rho, lam = (getattr(found, by)[found.tops(by, 6)] for by in ("rho", "lam"))
    torch.testing.assert_close(rho, (e / (e + s))[:6].double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        lam, torch.cat([e[:4], torch.full((2,), gamma * A**2)]).sort(descending=True)[0].double(), rtol=1e-6, atol=0
    )
    assert float((found.top("rho", 4).T @ U[:, :4]).square().sum()) == pytest.approx(4, abs=1e-6)


@pytest.mark.parametrize("pairing", [Same(), Same(flip=True), Crops(0.7)])
def test_streamed_products_are_those_of_the_moments(pairing):
    data = images(pairing=pairing)
    v = torch.randn(192, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for streamed, exact in zip(data.products(), map(Dense, data.moments()), strict=True):
        for one, other in zip(streamed.products(v), exact.products(v), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6 * float(other.abs().max()))


@pytest.mark.parametrize("kind", ["global", "patch", "smooth"])
@pytest.mark.parametrize("flip", [False, True])
def test_directions_are_those_of_the_matrices(kind, flip):
    """Those of high lambda too, but for a global distractor, of whose features many have nearly one rho."""
    data, k = images(kind, Same(flip)), 4
    for products, moments in zip(data.products(), data.moments(), strict=True):
        found, exact = strongest(products, k), moments.features()
        assert len(found.rho) < 150
        for by in ("rho", "lam") if kind != "global" else ("rho",):
            one, other = (getattr(f, by)[f.tops(by, k)] for f in (found, exact))
            torch.testing.assert_close(one, other, rtol=1e-5, atol=0)
            assert float((found.top(by, k).T @ exact.top(by, k)).square().sum()) == pytest.approx(k, abs=1e-4)


def test_inverse_products_of_noise_invert_its_products():
    noise = Distractor("global", 5, 3.0, 0.4, 0.5)
    noise.attach([40], [0])
    v = torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(noise.solved(noise.products(v)[1]), v, rtol=1e-4, atol=1e-4)
    white = White(0.5)
    torch.testing.assert_close(white.solved(white.products(v)[1]), v)


class Own(Noise):
    """Noise of a user's own that only knows matrices."""

    def views(self, x, y, update, first=0):
        return x, y

    def moments(self, clean):
        return [clean]


@pytest.mark.parametrize(
    ("noise", "message"), [(White(0.0), "sigma must be positive for the directions"), (Own(), "Own has no products")]
)
def test_noise_without_the_products_is_refused_in_one_line(noise, message):
    products = Streamed(8, lambda: iter([(torch.eye(8), torch.eye(8))]), noise)
    with pytest.raises(ValueError, match=message) as caught:
        strongest(products, 2)
    assert "\n" not in str(caught.value)
