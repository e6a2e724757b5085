"""Pairs that are given as two arrays: what is no such file is refused in one line."""

import numpy as np
import pytest

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
