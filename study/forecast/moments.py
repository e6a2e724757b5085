"""Second moments of pairs in one pass, block by block, so that what is chosen on some samples can be measured on others.

Shapes: d inputs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Mask, Moments, SourcePairs, memory
from datamodules.gram import gram
from datamodules.noise import Noise, White
from datamodules.progress import shown
from study.forecast.end_state import SEARCHED, root

BLOCKS = 10  # enough for a spread over blocks; each holds matrices of its own
CHANCE = 1e-3  # with which a cross-covariance that is symmetric is taken for one that is not


@dataclass(frozen=True)
class Blocks:
    """Moments of the clean pairs of disjoint blocks, and the noise and the mask on top, which are exact.

    A block is a stretch of a recording where samples have one (SourcePairs.blocks), so blocks are near enough to independent for
    intervals over them.
    """

    clean: list[Moments]
    noise: Noise  # of one data set
    mask: Mask | None = None
    sign: int = 1  # of y

    @classmethod
    def streamed(cls, data: SourcePairs, index: int = 0, count: int = BLOCKS) -> "Blocks":
        """Of the training pairs of data set `index`, after `setup`.

        Raises:
            ValueError: the matrices do not fit into memory, or there are fewer pairs than blocks.
        """
        numbers = data.blocks(count)
        if not len(numbers[-1]):
            raise ValueError(
                f"a forecast needs {count} pairs or more for its intervals, found {sum(map(len, numbers)):,} training pairs; give more samples"
            )
        memory.check(
            f"second moments of {data.inputs:,} inputs in {count} blocks",
            8 * data.inputs**2 * (3 * count + 6),
            "give smaller samples: a smaller --size or --window, or --pairing neighbours",
        )
        clean, first = [], 0
        for block in shown(numbers, count, "second moments"):
            drawn = data.pairing.drawn(data.parts(block), data.seeds[index], first)
            found = summed(drawn)
            clean.append(found.symmetric() if data.pairing.symmetric and found.Syx is not found.Sxx else found)
            first += len(block)
        return cls(clean, data.noise.of(index), data.mask)

    @classmethod
    def of_pairs(cls, x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], count: int = BLOCKS) -> "Blocks":
        """Of pairs that are given, without further noise, in the order in which they are."""
        parts = zip(x.tensor_split(count), y.tensor_split(count), strict=True)
        noise = White(0.0)
        noise.attach([x.shape[1]], [0])
        return cls([summed([part]) for part in parts], noise)

    @property
    def count(self) -> int:
        """How many blocks."""
        return len(self.clean)

    def settled(self) -> "Blocks":
        """With a symmetric Syx where what is antisymmetric of it is no larger than chance makes it: an F test over blocks in whitened
        coordinates. Of more than SEARCHED inputs as it is."""
        B, d = self.count, len(self.clean[0].Sxx)
        if d > SEARCHED:
            return self
        R = root(union(self.clean).Sxx)
        found = torch.stack([R.mT @ (part.Syx - part.Syx.mT) @ R for part in self.clean])
        entries = max(1, R.shape[1] * (R.shape[1] - 1) // 2)
        chance = float((found - found.mean(0)).square().sum()) / (B - 1)
        if B * float(found.mean(0).square().sum()) > chance * scipy.stats.f.ppf(1 - CHANCE, entries, entries * (B - 1)):
            return self
        return replace(self, clean=[replace(part, Syx=(part.Syx + part.Syx.mT) / 2) for part in self.clean])

    def moments(self, blocks: Sequence[int] | None = None) -> Moments:
        """Of the pairs of these blocks together, or of all."""
        return self.masked(self.whole(blocks))

    def masked(self, whole: Moments) -> Moments:
        """Of what the mask leaves of pairs that have these."""
        seen = whole if self.mask is None else self.mask.moments(whole)
        return seen if self.sign > 0 else replace(seen, Syx=-seen.Syx)

    def opposite(self) -> "Blocks":
        """Of the pairs (x, -y)."""
        return replace(self, sign=-self.sign)

    def whole(self, blocks: Sequence[int] | None = None) -> Moments:
        """The same before anything is hidden, as probes read samples."""
        clean = union(self.clean if blocks is None else [self.clean[b] for b in blocks])
        return replace(self.noise.moments(clean)[0], count=clean.count)


def summed(batches: Iterable[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]]) -> Moments:
    """Moments of all these pairs: products of a batch in its own precision, summed in float64. Where x and y are the same memory
    Sxx, Syx and Syy are the same tensor.

    Raises:
        ValueError: there is no pair, or a number is not finite.
    """
    sums: list[Tensor] | None = None
    count = 0
    for x, y in batches:
        products = [gram(x)] if x.data_ptr() == y.data_ptr() else [gram(x), y.mT @ x, gram(y)]
        if sums is None:
            sums = [product.double() for product in products]
        else:
            assert len(sums) == len(products)
            for total, product in zip(sums, products, strict=True):
                total += product
        count += len(x)
    if sums is None or count == 0:
        raise ValueError("moments of no pair are undefined; give at least one")
    for total in sums:
        total /= count
        if not bool(total.isfinite().all()):
            raise ValueError("samples hold numbers that are not finite or too large; expected finite numbers alone")
    Sxx, Syx, Syy = sums if len(sums) == 3 else sums * 3
    return Moments(Sxx, Syx, Syy, float(count))


def union(parts: Sequence[Moments]) -> Moments:
    """Moments of the pairs of all parts, whose number counts."""
    if len(parts) == 1:
        return parts[0]
    count = sum(part.count for part in parts)

    def mean(name: str) -> Float[Tensor, "d d"]:
        total = torch.zeros_like(parts[0].Sxx)
        for part in parts:
            total.add_(getattr(part, name), alpha=part.count / count)
        return total

    Sxx = mean("Sxx")
    if all(part.Syx is part.Sxx for part in parts):
        return Moments(Sxx, Sxx, Sxx, count)
    return Moments(Sxx, mean("Syx"), mean("Syy"), count)
