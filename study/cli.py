"""The command `study`. Bad input gives one line and exit code 2; a claim that is refuted gives `study claims` exit code 1."""

import contextlib
import signal
import sys
import threading

from study.commands import COMMANDS, command
from study.outside import check_ours
from study.running.signals import Preempted, caught, requeue
from study.terminal import discard, prepare, say

RESUMED = ("run", "fit", "reproduce")  # whose work is kept as it is done


def on_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread and raises the thread's OSError again in ours, where it is reported."""
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    prepare()
    threading.excepthook = on_thread_failure
    code, line = carry_out(sys.argv[1:] if arguments is None else arguments)
    if line:
        with contextlib.suppress(OSError):  # where stderr itself cannot be written, only the exit code can tell
            say(line)
    discard()
    return code


def carry_out(arguments: list[str]) -> tuple[int, str]:
    """Carry out a command. Returns the exit code, and where it failed a line that says how."""
    try:
        with caught():
            try:
                code = obey(arguments)
            except SystemExit:  # a parser's, after it has printed the help
                sys.stdout.flush()
                raise
            sys.stdout.flush()
            return code, ""
    except ValueError as error:
        from study.arguments import essence

        return 2, f"error: {essence(str(error))}"
    except (ArithmeticError, ChildProcessError) as error:  # training diverged, or a process of a pool or a job was killed
        return 1, f"stopped: {error}"
    except BrokenPipeError:  # nobody reads the output any more
        return 128 + signal.SIGPIPE, ""
    except OSError as error:  # a full disk, a folder that is read-only
        return 2, f"error: {error.filename or 'output'}: {error.strerror or error}"
    except Preempted as stop:
        requeue(stop.number)
        again = "goes on where it stopped" if arguments and arguments[0] in RESUMED else "begins anew"
        return 128 + stop.number, f"{stop}; the same command {again}"


def obey(arguments: list[str]) -> int:
    check_ours()
    if arguments and arguments[0] in COMMANDS:
        return command(arguments[0]).main(arguments[1:])
    if arguments[:1] not in ([], ["-h"], ["--help"]):
        raise ValueError(f"unknown command {arguments[0]!r}; choose one of: {', '.join(COMMANDS)}")
    from study.screen import rows

    about = ((name, (command(name).__doc__ or "").partition("\n\n")[0]) for name in COMMANDS)
    print("usage: study COMMAND [options]\n", *rows(about), "\nstudy COMMAND --help tells more.", sep="\n")
    return 0 if arguments else 2


if __name__ == "__main__":
    sys.exit(main())
