"""A user's corpus as texts, one at a time: plain text, tables of passages, jsonl, each also gzipped."""

import gzip
import json
from pathlib import Path

from fairseq_metro.errors import UserError

ENDINGS = (".txt", ".tsv", ".jsonl", ".json")


def corpus_files(paths):
    """Files of a corpus: those given, and in folders all with an ending of ENDINGS: list of Path.

    Raises :class:`UserError` where there are none.
    """
    found = []
    for path in map(Path, paths):
        inside = sorted(one for one in path.rglob("*") if _ending(one)) if path.is_dir() else [path]
        if not inside or not inside[0].is_file():
            raise UserError(f"{path}: no such file, nor a folder of {', '.join(ENDINGS)} files")
        found += inside
    return found


def texts_of(path):
    """Yield a file's texts: lines; of a table the last column, of jsonl the field "text".

    MS MARCO's ``collection.tsv`` (number, passage) is such a table. Empty lines are left out.
    Raises :class:`UserError` with file and line.
    """
    path = Path(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield _text(line, _ending(path), f"{path}: line {number}")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def _ending(path):
    name = path.name.removesuffix(".gz").lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), None)


def _text(line, ending, place):
    if ending == ".tsv":
        return line.rstrip("\n").split("\t")[-1]
    if ending not in (".jsonl", ".json"):
        return line.rstrip("\n")
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: not JSON ({error.msg}); one object a line") from None
    text = entry.get("text") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise UserError(f'{place}: no "text" in it')
    return text
