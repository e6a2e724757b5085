"""End the runs that are queued or running; `study run` goes on with them.

Of one experiment or of all. A training writes a checkpoint first.
"""

from study.arguments import Parser
from study.commands.common import add_name, add_out
from study.terminal import say

EXAMPLES = ("study cancel", "study cancel pixels --out runs")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study cancel", description=__doc__, examples=EXAMPLES)
    add_name(parser)
    add_out(parser)
    options = parser.parse_args(arguments)
    from study.launch.status import Runs, cancel

    found = [row for row in Runs(options.out, options.name) if row.state in ("queued", "running", "unknown")]
    beyond = cancel(found)
    for line in beyond:
        say(line)
    print(f"{len(found) - len(beyond)} runs cancelled")
    return int(bool(beyond))
