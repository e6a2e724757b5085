"""The command `study`, from its first moment."""

import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # While modules are imported and when the interpreter ends, Ctrl-C ends the process and nothing is to be said; between, the
    # command catches it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from study.cli import main

if __name__ == "__main__":
    sys.exit(main())
