"""Rows as a table."""

from collections.abc import Callable

from rich.table import Table

from study.bench.base import Row
from study.console import Console

TEXT = ("case", "method", "unit", "note")
COLUMNS: dict[str, Callable[[Row], str]] = {
    "case": lambda row: row.case,
    "method": lambda row: row.method,
    "median": lambda row: number(row.median),
    "spread": lambda row: number(row.spread),
    "unit": lambda row: row.unit,
    "flop": lambda row: number(row.flop),
    "bytes": lambda row: number(row.bytes),
    "% of peak": lambda row: number(row.share, 100),
    "ratio": lambda row: number(row.ratio),
    "compile s": lambda row: number(row.compile_seconds),
    "note": lambda row: row.note,
}


def number(value: float | None, scale: float = 1.0) -> str:
    return "" if value is None else f"{value * scale:.4g}"


def show(rows: list[Row], console: Console) -> None:
    """One table per benchmark, without empty columns; `ratio` is over the reference named in the caption."""
    for name in dict.fromkeys(row.benchmark for row in rows):
        mine = [row for row in rows if row.benchmark == name]
        references = ", ".join(dict.fromkeys(row.reference for row in mine if row.reference))
        table = Table(title=name, caption=f"flop and bytes per unit of work; ratio over: {references}" if references else None)
        shown = [column for column, text in COLUMNS.items() if any(text(row) for row in mine)]
        for column in shown:
            table.add_column(column, overflow="fold", justify="left" if column in TEXT else "right")
        for row in mine:
            table.add_row(*(COLUMNS[column](row) for column in shown))
        console.print(table)
