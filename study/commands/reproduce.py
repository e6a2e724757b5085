"""The default suite on built-in data, `dynamics` and `pixels`, then the page."""

from study.arguments import Parser
from study.commands import run
from study.commands.common import add_device, add_out
from study.experiments import EXPERIMENTS

EXAMPLES = ("study reproduce", "study reproduce --out again --device cpu")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study reproduce", description=__doc__, examples=EXAMPLES)
    add_out(parser)
    add_device(parser)
    options = parser.parse_args(arguments)
    from study.launch.local import Local

    run.run([(EXPERIMENTS[name], {}) for name in ("dynamics", "pixels")], options.out, options.device, Local(), {})
    return 0
