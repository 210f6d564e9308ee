"""Retrieved passages behind a prompt, in the form of METRO-T0's MMLU evaluation."""

import json
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import mended, text_lines

FIELD = "passages"


def with_passages(text, passages):
    """The input and its passages: no separator between them, the model cuts what is too long.

    >>> with_passages("Which?", ["One.", "Two."])
    'Which?\\n \\nReference passage 1: One.Reference passage 2: Two.'
    """
    if not passages:
        return text
    parts = [f"Reference passage {k}: {passage}" for k, passage in enumerate(passages, 1)]
    return f"{text}\n \n{''.join(parts)}"


def read_passages(path):
    """A passages file: for each row of the split, in order, its list of texts, best first.

    A line is ``{"passages": [str, ...]}``; with ``"row": n`` it must be its own number, from 0.
    ``fairseq-metro passages`` writes such files. Raises :class:`UserError`.
    """
    rows = [
        _passages_of(line, f"{path}: line {number}", number - 1)
        for number, line in text_lines(path)
    ]
    if not rows:
        raise UserError(
            f"{Path(path)}: no passages in it; write it again with fairseq-metro passages"
        )
    return rows


def _passages_of(line, place, row):
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not JSON ({error}); write the file again") from None
    texts = entry.get(FIELD) if isinstance(entry, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f'{place}: no list of texts "{FIELD}"; a line is {{"{FIELD}": ["..."]}}')
    if entry.get("row", row) != row:
        raise UserError(f"{place}: row {entry['row']!r}, expected {row}; lines are in row order")
    return [mended(text)[0] for text in texts]
