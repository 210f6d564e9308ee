"""The argument parser that every command is built with."""

import argparse
import difflib
import re
import sys


class CommandParser(argparse.ArgumentParser):
    """An ``argparse`` parser whose errors are one line that names the nearest options.

    Wrong usage ends with exit status 2; wrong data raises
    :class:`~fairseq_metro.common.errors.UserError` later and ends with 1. The description keeps its
    line breaks, so a module's docstring can serve as one.
    """

    def __init__(self, *args, formatter_class=argparse.RawDescriptionHelpFormatter, **options):
        super().__init__(*args, formatter_class=formatter_class, **options)

    def error(self, message):
        """Print one line and exit with status 2."""
        print(
            f"error: {message}{self._nearest(message)} (options: {self.prog} --help)",
            file=sys.stderr,
        )
        raise SystemExit(2)

    def _nearest(self, message):
        if not message.startswith("unrecognized arguments:"):
            return ""
        options = [option for option in self._option_string_actions if option.startswith("--")]
        unknown = re.findall(r"(?<= )--[^\s=]+", message)
        matches = [name for word in unknown for name in difflib.get_close_matches(word, options, 2)]
        return f"; perhaps {', '.join(dict.fromkeys(matches))}" if matches else ""
