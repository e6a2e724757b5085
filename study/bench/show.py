"""Rows as a table."""

from rich.console import Console
from rich.table import Table

from study.bench.base import Row

COLUMNS = ("case", "method", "median", "spread", "unit", "flop", "bytes", "% of peak", "ratio", "compile s", "note")


def number(value: float | None, scale: float = 1.0) -> str:
    return "" if value is None else f"{value * scale:.4g}"


def show(rows: list[Row], console: Console) -> None:
    """One table per benchmark; `ratio` is over the reference named in the caption."""
    for name in dict.fromkeys(row.benchmark for row in rows):
        mine = [row for row in rows if row.benchmark == name]
        references = ", ".join(dict.fromkeys(row.reference for row in mine if row.reference))
        table = Table(title=name, caption=f"flop and bytes per unit of work; ratio over: {references}" if references else None)
        for column in COLUMNS:
            table.add_column(
                column, overflow="fold", justify="left" if column in ("case", "method", "unit", "note") else "right"
            )
        for row in mine:
            table.add_row(
                row.case, row.method, number(row.median), number(row.spread), row.unit, number(row.flop), number(row.bytes),
                number(row.share, 100), number(row.ratio), number(row.compile_seconds), row.note,
            )  # fmt: skip
        console.print(table)
