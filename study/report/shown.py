"""An experiment as its page shows it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from study.experiments.base import Claim
from study.experiments.verdict import REFUTED
from study.launch.store import Record
from study.report.summary import Summary
from study.report.texts import moment, number


@dataclass(frozen=True)
class Shown:
    """An experiment on the page: all its executions, and those of them that have a section, the last first."""

    name: str
    executions: list[tuple[Record, Summary]]
    sections: list[tuple[Record, Summary]]

    @property
    def counts(self) -> Counter[str]:
        return Counter(claim.verdict for _, summary in self.executions for claim in summary.claims)

    @property
    def across(self) -> list[dict[str, Any]]:
        """Each claim in all executions."""
        by_claim: dict[str, list[tuple[str, Claim]]] = {}
        for record, summary in self.executions:
            for claim in summary.claims:
                by_claim.setdefault(claim.id, []).append((record.variant, claim))
        return [across(claims) for claims in by_claim.values()]

    @property
    def data(self) -> dict[str, Any]:
        """What the scripts of its page draw and compare."""
        return {
            "figures": {
                f"{summary.section['id']}-{i}": figure["panels"]
                for _, summary in self.sections
                if summary.section
                for i, figure in enumerate(summary.section["figures"])
            },
            "runs": [
                {**run, "execution": record.variant}
                for record, summary in self.sections
                if summary.section
                for run in summary.section["runs"]
            ],
            "executions": [
                {
                    "name": record.variant,
                    "finished": moment(record.finished),
                    "options": summary.section["options"] if summary.section else record.command,
                    "claims": {c.id: [number(c.measured), number(c.low), number(c.high), c.verdict] for c in summary.claims},
                }
                for record, summary in self.executions
            ],
        }


def across(claims: Sequence[tuple[str, Claim]]) -> dict[str, Any]:
    """One claim in all executions of its experiment, given as (variant, claim)."""
    measured = sorted(claim.measured for _, claim in claims)
    return {
        "id": claims[0][1].id,
        "executions": len(claims),
        "verdicts": Counter(claim.verdict for _, claim in claims),
        "low": measured[0],
        "high": measured[-1],
        "refuted": [variant for variant, claim in claims if claim.verdict == REFUTED],
    }
