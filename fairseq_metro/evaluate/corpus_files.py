"""A user's corpus as texts, one at a time: lines of plain text, passages of a table, rows."""

from dataclasses import replace

from fairseq_metro.common.sources import Reading, check_readable, expand, parts
from fairseq_metro.common.sources.forms import TSV

# MS MARCO's collection.tsv has no names, and its passages in the last column.
BY_FORM = "text; of .tsv the last column"


def corpus_files(places):
    """Files of a corpus, of names, folders and patterns: list of str. Raises :class:`UserError`."""
    files = expand(places)
    for file in files:
        check_readable(file)
    return files


def texts_of(path, reading=None):
    """Yield a file's texts: lines that are not blank, or the text of each row.

    Raises :class:`UserError` with file and line.
    """
    reading = reading or Reading(BY_FORM)
    for part in parts(path, reading):
        if not part.is_rows:
            yield from (line for line in part.lines() if line.strip())
            continue
        if reading.field == BY_FORM:
            field = "-1" if part.form == TSV else "text"
            part = replace(part, reading=replace(reading, field=field))
        yield from part.texts()
