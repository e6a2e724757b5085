"""Claims that say the same of several objectives and depths, folded into one."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from study.experiments.base import Claim

VARIES = re.compile(r"jepa|mae|L\d+|(eps)?\d+(\.\d+)?(e-?\d+)?")  # parts of an id that tell claims of a group apart
WORDS = 5  # that statements must share for a title


@dataclass(frozen=True)
class Group:
    """Claims under a title, and of each what it says beyond the title."""

    title: str
    claims: list[tuple[str, Claim]]

    @property
    def counts(self) -> Counter[str]:
        return Counter(claim.verdict for _, claim in self.claims)


def groups(claims: Sequence[Claim]) -> list[Group]:
    """The claims in groups, in their order."""
    found: dict[str, list[Claim]] = {}
    for claim in claims:
        found.setdefault(stem(claim.id), []).append(claim)
    return [_group(members) for members in found.values()]


def stem(name: str) -> str:
    """What the ids of a group share."""
    return "-".join(part for part in name.split("-") if not VARIES.fullmatch(part.rpartition("/")[2]))


def _group(claims: list[Claim]) -> Group:
    shared = _ending([claim.statement for claim in claims])
    if len(claims) == 1 or len(shared.split()) < WORDS:
        return Group(
            claims[0].statement if len(claims) == 1 else f"{claims[0].statement}, and others like it", [("", c) for c in claims]
        )
    own = [claim.statement[: -len(shared)].rstrip(" :,") for claim in claims]
    whole = shared.lstrip(" :,")
    return Group(
        whole if shared.startswith((":", ",")) else f"… {whole}",
        [(text, claim) for text, claim in zip(own, claims, strict=True)],
    )


def _ending(texts: Sequence[str]) -> str:
    """The whole words at the end that texts share, with what separates them from the words before."""
    columns = takewhile(lambda letters: len(set(letters)) == 1, zip(*(text[::-1] for text in texts), strict=False))
    shared = "".join(letters[0] for letters in columns)[::-1]
    if all(text == shared for text in texts):
        return shared
    start = re.search(r"[:,]? ", shared)
    return shared[start.start() :] if start else ""
