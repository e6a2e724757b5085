"""A process of a pool: python -m study.launch.worker MODULE:FUNCTION. Reads orders from its input, one JSON line each, and
answers with what the function makes of them.

It ends when its input does, and so when the process that started it is gone.
"""

import json
import pkgutil
import sys

from study.launch.release import released
from study.running.signals import Preempted, caught


def main(name: str) -> int:
    answers, sys.stdout = sys.stdout, sys.stderr
    with caught():
        try:
            carry_out = pkgutil.resolve_name(name)
            for line in sys.stdin:
                with released():
                    answer = carry_out(json.loads(line))
                print(json.dumps(answer), file=answers, flush=True)
        except Preempted as stop:
            return 128 + stop.number
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
