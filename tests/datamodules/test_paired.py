"""Pairs that are given as two arrays."""

import numpy as np
import pytest

from datamodules import SourcePairs
from datamodules.noise import White
from datamodules.pairings import Lag
from datamodules.sources import Paired


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda path: np.savez(path, x=np.zeros((9, 2))), "holds x; expected a .npz file with x and y"),
        (lambda path: path.write_bytes(b"no archive"), "cannot be read"),
        (lambda path: np.savez(path, x=np.array([{}]), y=np.array([{}])), "holds Python objects, which can run code"),
    ],
)
def test_what_holds_no_pairs_is_refused(made, said, tmp_path):
    path = tmp_path / "pairs.npz"
    made(path)
    with pytest.raises(ValueError, match=said):
        Paired(path).load()


@pytest.mark.parametrize("by", [0.0, 100.0])
def test_a_constant_that_is_added_to_y_changes_no_moment(by, tmp_path, capsys):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(500, 4))
    np.savez(tmp_path / "pairs.npz", x=x, y=0.5 * x + draw.normal(size=x.shape) + by)
    data = SourcePairs(Paired(tmp_path / "pairs.npz"), White(0.0), Lag(1), count=1000)
    data.setup()
    (found,) = data.moments()
    np.testing.assert_allclose(found.features().rho, 0.5, atol=0.2)
    assert ("y has another mean than x and is moved to it, by up to 100" in capsys.readouterr().err) == bool(by)
