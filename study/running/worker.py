"""A process of the local pool: reads orders of runs from its input, one JSON line each, and answers null or the failure.

It ends when its input does, and so when the process that started it is gone.
"""

import json
import sys

from study.running.signals import Preempted, caught


def main() -> int:
    answers, sys.stdout = sys.stdout, sys.stderr
    with caught():
        try:
            from study.running.order import carry_out
            from study.running.training import quiet

            quiet()
            for line in sys.stdin:
                print(json.dumps(carry_out(json.loads(line))), file=answers, flush=True)
        except Preempted as stop:
            return 128 + stop.number
    return 0


if __name__ == "__main__":
    sys.exit(main())
