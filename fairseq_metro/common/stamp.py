"""The stamp that every data folder, vocabulary and checkpoint carries: who made it, from what."""

import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent.parent  # the clone, where this is one


@cache
def commit():
    """Commit of the clone this package is imported from (``+changes`` if edited), or ``unknown``."""
    if not (ROOT / ".git").exists():
        return "unknown"

    def git(*words):
        # Without the lock that git takes to note what it saw: killed with us, it would leave the
        # lock behind, and the clone could not be committed to.
        words = ["git", "--no-optional-locks", "-C", str(ROOT), *words]
        return subprocess.run(words, capture_output=True, text=True, timeout=10)

    try:
        head, edited = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain", "-uno")
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    if head.returncode != 0:
        return "unknown"
    return head.stdout.strip() + ("+changes" if edited.stdout.strip() else "")


def make_stamp(**facts):
    """A plain dict (strings and numbers only): version, commit, command line, and ``facts``."""
    command = " ".join(shlex.quote(word) for word in sys.argv)
    return {"fairseq_metro": __version__, "commit": commit(), "command": command, **facts}
