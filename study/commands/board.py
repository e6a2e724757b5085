"""TensorBoard of the runs under a folder of results, on this machine alone, until Ctrl-C."""

import contextlib
import signal

from study.arguments import Parser
from study.commands.common import add_out, show
from study.running.signals import Preempted
from study.terminal import say

EXAMPLES = ("study board --open", "study board --out runs/pixels --port 6010")
MOST = 40  # runs that TensorBoard shows by itself


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
        if (runs := board.runs(options.out)) > MOST:
            say(
                f"of {runs:,} runs TensorBoard shows none until some are ticked; --out {options.out}/NAME is of one experiment alone"
            )
        if options.open:
            show(address)
        signal.pause()
    return 0
