"""Counter-based random numbers: reproducible, position-addressed, and statistically sound."""

import numpy as np
import pytest
import torch
from scipy import stats

from datamodules import random


def test_splitmix64_reference():
    """First outputs of splitmix64 with state 0 and 1234567, from the authors' C code (state advances before mixing)."""
    words = random.bits([0, 1234567], 3, first=1)
    unsigned = [[int(w) & (2**64 - 1) for w in row] for row in words]
    assert unsigned[0] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert unsigned[1] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("columns", [1, 4, 7])
def test_rows_are_addressed(columns):
    whole = random.normal([1, 2], 10, columns)
    torch.testing.assert_close(whole[:, 4:9], random.normal([1, 2], 5, columns, first_row=4), rtol=0, atol=0)
    torch.testing.assert_close(whole[1:], random.normal([2], 10, columns), rtol=0, atol=0)
    torch.testing.assert_close(random.uniform([3], 9, columns)[:, 2:], random.uniform([3], 7, columns, 2), rtol=0, atol=0)


def test_distributions():
    z = random.normal([random.key(7)], 1000, 400)[0].double().numpy()
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(z[:, :200].ravel(), z[:, 200:].ravel())[0, 1]) < 4 / np.sqrt(z.size / 2)
    u = random.uniform([random.key(8)], 1000, 400)[0].double().numpy()
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    counts = np.bincount(random.integers([random.key(9)], 100_000, 7)[0].numpy(), minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_keys_differ_in_every_part_and_order():
    keys = {random.key(*parts) for parts in [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, -1), (2**40, 1)]}
    assert len(keys) == 7


INTERPRETED = """
import torch
from datamodules import random
from datamodules.random_triton import normals
keys = [random.key(1, 2), random.key(5), 2**64 - 1]
for rows, half, first in ((5, 3, 0), (700, 4, 2**33), (1, 1500, 7), (0, 2, 0)):
    here, there = random.normal(keys, rows, 2 * half, first), normals(random.offsets(keys, "cpu"), rows, half, first)
    torch.testing.assert_close(here, there, rtol=0, atol=2e-6)
"""

COMPILED = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from datamodules.random_triton import fill
types = {"out": "*fp32", "offsets": "*i64", "half": "i32", "words": "i32", "first": "i64", "block": "constexpr"}
compile(ASTSource(fill, types, {(5,): 1024}), target=GPUTarget("cuda", 90, 32))
"""


@pytest.mark.parametrize(("script", "interpret"), [(INTERPRETED, "1"), (COMPILED, "0")], ids=["arithmetic", "compiles"])
def test_triton_kernel(script, interpret, triton):
    triton(script, interpret)
