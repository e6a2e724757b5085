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


def held_out(labels: Int[Tensor, "n"], groups: Int[Tensor, "n"] | None) -> tuple[Int[Tensor, "kept"], Int[Tensor, "held"]]:
    """Row numbers that stay, and of a fifth that is held out: evenly over the classes, or, where there are groups, the last fifth of
    these, whole.

    Raises:
        ValueError: there are too few samples, or one group.
    """
    if groups is None:
        if (held := len(labels) // 5) == 0:
            raise ValueError(f"{len(labels)} training samples; expected at least 10")
        order = balanced(labels)
        return order[:-held], order[-held:]
    if len(numbers := groups.unique()) < 2:
        raise ValueError("training samples of one group or recording; expected several, of which some can be held out")
    last = torch.isin(groups, numbers[-max(1, len(numbers) // 5) :])
    return torch.nonzero(~last)[:, 0], torch.nonzero(last)[:, 0]


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
