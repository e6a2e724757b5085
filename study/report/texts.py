"""Numbers, times and texts as the page writes them."""

import datetime
import json
import math
import re
from typing import Any

from markupsafe import Markup, escape

from study.experiments.base import Claim


def number(value: float) -> str:
    """Three significant digits."""
    if not math.isfinite(value):
        return "nothing" if math.isnan(value) else "unbounded"
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def repetitions(claim: Claim) -> str:
    """On how many repetitions the interval rests."""
    return "nothing random" if claim.n is None else f"n = {claim.n}"


def moment(text: str) -> str:
    """A time of a record as people write it."""
    try:
        return datetime.datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return text


def coded(text: str) -> Markup:
    """Text in which commands stand in backquotes."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def embedded(content: Any) -> Markup:
    """JSON within a script element, which it cannot end."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, default=str)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
