"""The default suite on built-in data, then the page: `dynamics`, `pixels`, and `forecast` on few and small samples, whose numbers are
measurements, as claims are made of more."""

from study.arguments import Parser
from study.commands import run
from study.commands.common import add_device, add_out
from study.experiments import EXPERIMENTS

EXAMPLES = ("study reproduce", "study reproduce --out again --device cpu")
SUITE = {
    "dynamics": {},
    "pixels": {},
    "forecast": {"cells": 6, "networks": ("linear",), "size": 8, "count": 5000, "updates": 200, "short": 50},
}


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study reproduce", description=__doc__, examples=EXAMPLES)
    add_out(parser)
    add_device(parser)
    options = parser.parse_args(arguments)
    from study.launch.local import Local

    run.run([(EXPERIMENTS[name], given) for name, given in SUITE.items()], options.out, options.device, Local(), {})
    return 0
