"""Documents of the input files, as lists of paragraphs, in jobs for the workers."""

import re

from fairseq_metro.common.sources import HUB, Reading, parts
from fairseq_metro.prepare.documents import read_documents

DOCUMENTS = BLANK_LINE, FILE, LINE, HEADING = "blank-line", "file", "line", "heading"
LINES = PARAGRAPH, WRAPPED, SENTENCE = "paragraph", "wrapped", "sentence"
JOB_CHARACTERS = 1 << 20
_BLANK = re.compile(r"\n\s*\n")


def documents_of(source, documents=BLANK_LINE, reading=None):
    """Yield the text of each document of a source; ``documents`` says what ends one in plain text.

    blank-line, file; line: every line is a document (text without documents); heading: WikiText's
    `` = Title = `` begins one. A row is a document always. Raises :class:`UserError`.
    """
    reading = reading or Reading()
    if documents in (BLANK_LINE, FILE) or source.startswith(HUB):
        yield from read_documents(source, reading, documents == FILE)
        return
    for part in parts(source, reading):
        if part.is_rows:
            yield from part.texts()
        elif documents == LINE:
            yield from (line for line in part.lines() if line.strip())
        else:
            yield from _by_headings(part.lines())


def _by_headings(lines):
    block = []
    for line in lines:
        text = line.strip()
        is_heading = len(text) > 3 and text.startswith("= ") and text.endswith(" =")
        if is_heading and not text.startswith("= ="):  # ` = Title = `, not ` = = Section = = `
            if block:
                yield "\n".join(block)
            block = []
        elif not is_heading:
            block.append(line)
    if block:
        yield "\n".join(block)


def paragraphs_of(text, lines_are=PARAGRAPH):
    """What is cut into sentences: each line, or the lines between blank lines joined ("wrapped").

    >>> paragraphs_of("a\\nb\\n\\nc", WRAPPED)
    ['a\\nb', 'c']
    """
    parts = _BLANK.split(text) if lines_are == WRAPPED else text.split("\n")
    return [part for part in parts if part.strip()]


def jobs(sources, documents, reading):
    """Yield (number of the first document, list of texts), about JOB_CHARACTERS at a time.

    A document's number counts those of all sources in their order, from 0.
    """
    number, texts, size = 0, [], 0
    for source in sources:
        for text in documents_of(source, documents, reading):
            texts.append(text)
            size += len(text)
            if size >= JOB_CHARACTERS:
                yield number, texts
                number, texts, size = number + len(texts), [], 0
    if texts:
        yield number, texts
