"""The files that names, folders and patterns stand for."""

import glob
import os

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.opening import STANDARD_INPUT, files_below

HUB = "hf:"  # begins the name of a data set of Hugging Face's hub


def expand(places):
    """Files of names, folders and patterns, in their order, sorted within each: list of str.

    What exists under a name is meant, whatever the name looks like; else it is a pattern, in which
    ``**`` goes into folders. A folder stands for all files in it that are not hidden. ``-`` and
    names on the hub stay as they are. Raises :class:`UserError` for what stands for no file.
    """
    files = []
    for place in map(str, places):
        if place == STANDARD_INPUT or place.startswith(HUB):
            files.append(place)
        else:
            files += _files_of(place)
    return files


def names_of(files, most=3):
    """The files' names in a message, which stays a line however many there are.

    >>> names_of(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(map(str, files[:most])) + more


def _files_of(place):
    if os.path.isdir(place):
        files = files_below(place)
        if not files:
            raise UserError(f"{place}: no file in this folder")
        return files
    if os.path.lexists(place):
        return [place]
    if not glob.has_magic(place):
        raise UserError(f"{place}: no such file")
    matches = sorted(glob.glob(place, recursive=True))
    files = [match for match in matches if os.path.isfile(match)]
    if not files:  # a pattern of folders
        files = [file for match in matches if os.path.isdir(match) for file in files_below(match)]
    if not files:
        raise UserError(f"{place}: no such file; quote patterns, ** goes into folders")
    return files
