"""One fixed order for the images of every source, in which each prefix holds the classes in their proportions.

Files come sorted by class as often as not, so a split or a count that is cut from them as they lie may miss classes.
"""

import heapq
from collections import Counter

import torch
from jaxtyping import Int
from torch import Tensor

from datamodules import random

ORDER = random.key(0)


def held_out(
    labels: Int[Tensor, "n"], groups: Int[Tensor, "n"] | None = None
) -> tuple[Int[Tensor, "kept"], Int[Tensor, "held"]]:
    """Row numbers that stay, and those of a fifth that is held out: the last fifth in the order of `balanced`.

    Groups stay whole. They are gone through from the end of that order, and one is held out wherever that brings the numbers of the
    classes nearer to those of the last fifth, in the sum of squares; then, for a class that is left without, its smallest group, where
    another one stays.

    Raises:
        ValueError: there are fewer than 5 rows, or one group.
    """
    if (fifth := len(labels) // 5) == 0:
        raise ValueError(f"{len(labels)} training samples; expected at least 10")
    order = balanced(labels)
    if groups is None:
        return order[:-fifth], order[-fifth:]
    of = labels.tolist()
    sizes: dict[int, Counter[int]] = {}  # rows of each class in each group, the last group first
    for row, group in zip(reversed(order.tolist()), groups[order.flip(0)].tolist(), strict=True):
        sizes.setdefault(group, Counter())[of[row]] += 1
    if len(sizes) < 2:
        raise ValueError("training samples of one group; expected several, of which some can be held out")
    missing = Counter(labels[order[-fifth:]].tolist())
    held = set[int]()
    for group, size in sizes.items():
        if sum(count * (2 * missing[label] - count) for label, count in size.items()) > 0:
            held.add(group)
            missing.subtract(size)
    for label in labels.unique().tolist():
        having = [group for group, size in sizes.items() if label in size]
        if len(having) > 1 and held.isdisjoint(having):
            held.add(min(having, key=lambda group: sizes[group].total()))
    last = torch.isin(groups[order], torch.tensor(sorted(held), dtype=torch.int64))
    return order[~last], order[last]


def balanced(labels: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
    """Row numbers in a random order, the same on every machine, that is spread evenly over the classes.

    Of n rows of which n_c belong to class c, the first k hold k n_c / n of class c, rounded up or down; a slice from the
    middle is off by less than two. Image j of a class may come from place j n / n_c on and has to come before place
    (j + 1) n / n_c; whichever is due first comes first, which meets all dates (Liu and Layland, J. ACM 1973).
    """
    n, classes, sizes, seen = len(labels), labels.tolist(), Counter(labels.tolist()), Counter[int]()
    due = []
    for rank, row in enumerate(random.bits([ORDER], n)[0].argsort().tolist()):
        size, j = sizes[classes[row]], seen[classes[row]]
        due.append((j * n // size, -(-(j + 1) * n // size), rank, row))
        seen[classes[row]] += 1
    order: list[int] = []
    waiting: list[tuple[int, int, int]] = []
    later = sorted(due, reverse=True)
    for place in range(n):
        while later and later[-1][0] <= place:
            heapq.heappush(waiting, later.pop()[1:])
        order.append(heapq.heappop(waiting)[-1])
    return torch.tensor(order, dtype=torch.int64)
