"""Style and scripts of the page, in the page: it is one file, and asks nobody for anything."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from markupsafe import Markup

# uPlot draws figures and says values under the pointer: 50 KB where other libraries have megabytes, no dependencies, no eval.
STYLES = ("uplot/uPlot.min.css", "style.css")
SCRIPTS = ("uplot/uPlot.iife.min.js", "plots.js", "tables.js", "compare.js")


@cache
def style() -> Markup:
    return Markup(_joined(STYLES))


@cache
def script() -> Markup:
    return Markup(_joined(SCRIPTS))


@cache
def policy() -> str:
    """What the page may do: run this script and no other, show pictures that are in it, and load nothing."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join((files("study.report") / name).read_text("utf-8") for name in names)
