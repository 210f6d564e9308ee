"""One class for errors that the user can mend, printed as one line.

``fairseq-train`` and its sisters catch nothing, so an exception reaches ``sys.excepthook``.
The hook installed here prints the message of a :class:`UserError` alone, wherever it was raised:
in the main process, inside a DataLoader worker (torch re-raises it with the worker's traceback as
its text), in a spawned rank (torch raises an exception of its own that quotes the traceback), or
below a stock ``except Exception: raise Exception(...)``. Every other exception is left to the hook
that was there before. ``FAIRSEQ_METRO_TRACEBACK=1`` shows the traceback as well.
"""

import os
import re
import sys

TRACEBACK_VARIABLE = "FAIRSEQ_METRO_TRACEBACK"

# The last line of a formatted traceback; torch quotes whole tracebacks of workers and ranks.
_QUOTED = re.compile(r"^(?:[\w.]+\.)?UserError: (.*)$", re.MULTILINE)


class UserError(ValueError):
    """A mistake in what the user gave us: one line that names the place, the value, the remedy.

    torch rebuilds an exception of a DataLoader worker as ``UserError(<worker's traceback>)``; the
    constructor takes the original message back out of such a text.
    """

    def __init__(self, message):
        quoted = _QUOTED.findall(str(message))
        super().__init__(quoted[-1] if quoted else " ".join(str(message).split()))


def user_message(error):
    """The message of the :class:`UserError` behind ``error`` (itself, cause or context), or None."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, UserError):
            return str(error)
        quoted = _QUOTED.findall(str(error))
        if quoted:
            return quoted[-1]
        error = error.__cause__ or error.__context__
    return None


def print_user_errors_as_one_line():
    """Install the hook (once). Exit status stays 1, which Python gives any uncaught exception.

    Hydra prints tracebacks itself unless ``HYDRA_FULL_ERROR`` is set, in which case it lets the
    exception through to ``sys.excepthook``; so that variable is set unless the user did.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    previous = sys.excepthook
    if getattr(previous, "handles_user_errors", False):
        return

    def hook(kind, error, traceback):
        message = user_message(error) if isinstance(error, Exception) else None
        if message is None or os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
            previous(kind, error, traceback)
        if message is not None:
            print(f"error: {message}", file=sys.stderr)

    hook.handles_user_errors = True
    sys.excepthook = hook


def run_command(main, argv=None):
    """Run a console command's ``main(argv)``: a :class:`UserError` ends it as one line, status 1."""
    try:
        return main(argv)
    except UserError as error:
        if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone (``| head``): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
