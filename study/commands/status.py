"""What became of every run: queued, running, done, failed and why.

Of one experiment or of all; unknown is a run of which the queue of its job cannot be asked.
"""

from study.arguments import Parser
from study.commands.common import add_name, add_out
from study.terminal import escaped

EXAMPLES = ("study status", "study status pixels --out runs")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study status", description=__doc__, examples=EXAMPLES)
    add_name(parser)
    add_out(parser)
    options = parser.parse_args(arguments)
    from study.launch.status import STATES, Runs

    rows = list(Runs(options.out, options.name))
    for row in rows:
        print(escaped(f"{row.state:<8} {row.run}  {row.note}".rstrip()))
    print(", ".join(f"{sum(row.state == state for row in rows):,} {state}" for state in STATES))
    return 0
