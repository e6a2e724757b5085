"""TensorBoard of the runs under a folder of results, on this machine alone, until Ctrl-C."""

import contextlib
import signal

from study.arguments import Parser
from study.commands.common import add_out, show
from study.running.signals import Preempted

EXAMPLES = ("study board --open", "study board --out runs --port 6010")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study board", description=__doc__, examples=EXAMPLES)
    add_out(parser)
    parser.add_argument("--port", type=int, default=None, help="default: 6006, or the next that is free")
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    options = parser.parse_args(arguments)
    from study.report import board

    with contextlib.suppress(Preempted):
        address = board.serve(options.out, options.port)
        print(f"TensorBoard: {address} (Ctrl-C ends it)", flush=True)
        if options.open:
            show(address)
        signal.pause()
    return 0
