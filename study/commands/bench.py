"""Speed beside other ways to do the same work, all of them or one."""

import dataclasses
import sys

from study.arguments import Parser
from study.commands.common import add_device

EXAMPLES = ("study bench stacks", "study bench pixels --device cuda --json")


def main(arguments: list[str]) -> int:
    parser = Parser(prog="study bench", description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "name",
        type=str,
        nargs="?",
        default=None,
        help="stacks, pixels, trainer, observers, times, scaling, spectrum or networks",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    add_device(parser)
    options = parser.parse_args(arguments)
    from study import bench
    from study.bench.show import show
    from study.console import Console
    from study.files import strict_json
    from study.running.device import device_of
    from study.running.training import quiet

    quiet()
    device = device_of(options.device)
    chosen = [bench.benchmark(name) for name in ([options.name] if options.name else bench.NAMES)]
    if options.json:
        print(strict_json([dataclasses.asdict(row) for rows in chosen for row in rows(device)]))
    else:
        for rows in chosen:
            show(rows(device), Console(width=None if sys.stdout.isatty() else 180))
    return 0
