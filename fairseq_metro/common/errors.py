"""The exception class for errors that the user can fix, printed as one line.

``fairseq-train`` and its sisters catch nothing, so an exception reaches ``sys.excepthook``.
The hook installed here prints the message of a :class:`UserError` alone, wherever it was raised:
in the main process, inside a DataLoader worker (torch re-raises it with the worker's traceback as
its text), in a spawned rank (torch raises an exception of its own that quotes the traceback), below
a stock ``except Exception: raise Exception(...)``, or under Hydra, which does not let exceptions
reach the hook. Every other exception is left to the hook that was there before, and to Hydra.
``FAIRSEQ_METRO_TRACEBACK=1`` shows the traceback as well.
"""

import errno
import logging
import os
import re
import sys
import traceback
import unicodedata

from fairseq_metro.common.logs import messages_on_stderr, quieted

TRACEBACK_VARIABLE = "FAIRSEQ_METRO_TRACEBACK"

# The last line of a formatted traceback; torch quotes whole tracebacks of workers and ranks.
_QUOTED = re.compile(r"^(?:[\w.]+\.)?UserError: (.*)$", re.MULTILINE)

# What torch's RuntimeError says where another process was lost.
_LOST_READER = re.compile(r"DataLoader worker \(pid.*")
_LOST_RANK = re.compile(r"gloo/transport/\S+\] (.*?)(?:\. |$)", re.MULTILINE)
_AGAIN = "the same command goes on from the last checkpoint"


LONGEST_MESSAGE = 2000  # characters; a value read from a file can be arbitrarily long


class UserError(ValueError):
    """An error in the user's input, with a one-line message: place, value and remedy.

    Unprintable characters, such as a terminal's escape sequence in a file name, are escaped.

    torch rebuilds an exception of a DataLoader worker as ``UserError(<worker's traceback>)``; the
    constructor takes the original message back out of such a text.
    """

    def __init__(self, message):
        quoted = _QUOTED.findall(str(message))
        text = quoted[-1] if quoted else " ".join(str(message).split())
        if len(text) > LONGEST_MESSAGE:
            half = LONGEST_MESSAGE // 2
            text = f"{text[:half]} … {text[-half:]}"
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def shown(value, longest=60):
    """An untrusted value for a message: quoted, escaped and truncated.

    >>> shown("\\x1b[31m"), shown("a" * 99, 10)
    ("'\\\\x1b[31m'", "'aaaaaa...")
    """
    text = ascii(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def shown_names(names, most=20):
    """Untrusted names for a message, at most ``most`` of them.

    Names that could be confused with others are quoted and escaped. Otherwise a message could claim
    that there is no `text` but only `text`.

    >>> print(shown_names(["id", "text ", "t\u0435xt", "größe"]))
    id, 'text ', 't\u0435xt', größe
    >>> shown_names([]), shown_names("abc", 2)
    ('nothing', 'a, b and 1 more')
    """
    names = list(map(str, names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    plain = [shown(name) if _is_confusing(name) else name for name in names[:most]]
    return f"{', '.join(plain)}{more}" if names else "nothing"


def _is_confusing(name):
    """Whether a name can look like another one: blanks, hidden characters or mixed scripts."""
    if not name or not name.isprintable() or name != " ".join(name.split()) or len(name) > 60:
        return True
    scripts = {unicodedata.name(c, "?").split()[0] for c in name if c.isalpha()}
    return "LATIN" in scripts and len(scripts) > 1


def user_message(error):
    """The message of the :class:`UserError` behind ``error``, or None.

    A full or read-only disk and the loss of another process also have one.

    Behind means: the error itself, one whose traceback its text quotes, one it was raised from, or
    one during whose handling a bare ``Exception`` was raised, as fairseq's trainer does around
    ``load_state_dict``. An error of another class in such a handler is a defect of its own, and
    keeps its traceback.
    """
    seen = set()
    while isinstance(error, Exception) and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, UserError):
            return str(error)
        quoted = _QUOTED.findall(str(error))
        message = quoted[-1] if quoted else disk_message(error) or lost_message(error)
        if message:
            return message
        within = type(error) is Exception and not error.__suppress_context__
        error = error.__cause__ or (error.__context__ if within else None)
    return None


def traceback_wanted():
    """Whether the user asked for tracebacks by ``FAIRSEQ_METRO_TRACEBACK=1``."""
    return os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0")


def print_user_errors_as_one_line():
    """Install the hook (once). Exit status stays 1, which Python gives any uncaught exception."""
    print_user_errors_as_one_line_under_hydra()
    previous = sys.excepthook
    if getattr(previous, "handles_user_errors", False):
        return

    def hook(kind, error, trace):
        message = user_message(error)
        if message is None or traceback_wanted():
            previous(kind, error, trace)
        if message is not None:
            print(f"error: {message}", file=sys.stderr)

    hook.handles_user_errors = True
    sys.excepthook = hook


def print_user_errors_as_one_line_under_hydra():
    """Let a job of Hydra that failed with a :class:`UserError` end with its message alone (once).

    Stock Hydra catches a job's exception, keeps it in a ``JobReturn``, and reading
    ``JobReturn.return_value`` gives "Error executing job with overrides", the exception, and from
    ``run_and_report`` a traceback of several screens; no callback can be added once the job runs,
    and the plugin is imported only then. So the reading itself ends the process for a UserError.
    Not earlier, by an error class under ``SystemExit``: fairseq's background threads catch
    ``Exception`` only, and the process would wait for such a thread for ever.

    Other exceptions and values take Hydra's own way. Nothing is done where Hydra is not imported.
    Out of reach: ``fairseq-hydra-train`` that spawns its ranks itself (several GPUs, no torchrun)
    imports no plugin in the parent, which prints a traceback with the message as its last line.
    """
    module = sys.modules.get("hydra.core.utils")
    if module is None or getattr(module.JobReturn.return_value.fget, "handles_user_errors", False):
        return
    stock = module.JobReturn.return_value

    def return_value(job):
        error = job._return_value
        message = user_message(error) if job.status == module.JobStatus.FAILED else None
        if message is None:
            return stock.fget(job)
        if traceback_wanted():
            traceback.print_exception(error)
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(1)

    return_value.handles_user_errors = True
    module.JobReturn.return_value = property(return_value, stock.fset)


def lost_message(error):
    """A one-line message if torch reports the loss of another process of the run, else None."""
    if not isinstance(error, RuntimeError):
        return None
    reader, rank = _LOST_READER.search(str(error)), _LOST_RANK.search(str(error))
    if reader:
        return (
            f"{reader.group().strip()}: a process that reads data was lost; if memory ran out, give "
            f"fewer --num-workers; {_AGAIN}"
        )
    if rank:
        return f"another process of this run was lost ({rank.group(1)}); {_AGAIN}"
    return None


def disk_message(error):
    """A one-line message if an :class:`OSError` reports a full or read-only disk, else None."""
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = "free space, or give a folder on another disk, and run the same command again"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        remedy = "give a folder that you may read and write"
    else:
        return None
    return f"{error.filename or 'a file'}: {error.strerror.lower()}; {remedy}"


def run_command(main, argv=None):
    """Run a command's ``main(argv)``; a :class:`UserError` ends it with one line, status 1, and so
    does a disk that is full or not to be written."""
    try:
        # Importing fairseq sets the root logger to DEBUG, and many have much to say there.
        with messages_on_stderr(logging.WARNING), quieted("matplotlib"):
            return main(argv)
    except BrokenPipeError:
        # The reader of a pipe has gone (``| head``): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        message = user_message(error)
        if message is None or traceback_wanted():
            raise
        print(f"error: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
