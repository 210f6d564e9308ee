"""Rows as distributed -> rows as Hugging Face has them, where renaming fields is not enough.

A shape takes a row and the path of its file (None for the hub) and yields the row; one that already
has its final form passes through. Field names are those that promptsource's templates use.
"""

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.task_data.nested import NESTED


def wsc_fixed(row, path):
    """SuperGLUE's WSC: ``target`` flattened; a span that is not in the text is repaired.

    The repair of "wsc.fixed": the first letter takes the case of the word at the span's index, a
    trailing full stop goes, newlines become spaces. A span that this does not help is left.

    >>> row = {"text": "The dog ran. It barked.",
    ...        "target": {"span1_index": 0, "span1_text": "the dog", "span2_index": 3,
    ...                   "span2_text": "It"}, "label": True}
    >>> next(iter(wsc_fixed(row, None)))["span1_text"]
    'The dog'
    """
    if "target" in row:
        target = row["target"]
        row = {**{key: value for key, value in row.items() if key != "target"}, **target}
        for span in ("span1", "span2"):
            row[f"{span}_text"] = _repaired(row["text"], row[f"{span}_text"], row[f"{span}_index"])
    yield row


def _repaired(text, span, index):
    words = text.split()
    if span in text or not span or index >= len(words):
        return span
    first = span[0].lower() if words[index][0].islower() else span[0].upper()
    fixed = (first + span[1:]).rstrip(".").replace("\n", " ")
    return fixed if fixed in text else span


def stem_and_choices(row, path):
    """ARC, OpenBookQA, QASC, QuaRTz: ``question: {stem, choices: [{text, label}]}`` taken apart.

    The stem becomes ``question`` and ``question_stem``; ``choices`` two parallel lists.
    """
    if isinstance(row.get("question"), dict):
        question = row["question"]
        choices = {
            key: [choice[key] for choice in question["choices"]] for key in ("text", "label")
        }
        row = {**row, "question": question["stem"], "choices": choices}
        row["question_stem"] = row["question"]
    yield row


def mmlu(row, path):
    """MMLU's tables without header, and the hub's rows, as ARC's rows; each names its subject.

    A table's subject is its file's name up to the last ``_``.
    """
    if isinstance(row.get("choices"), list):
        choices = {"text": row["choices"], "label": list("ABCD")}
        row = {**row, "choices": choices, "answerKey": "ABCD"[row["answer"]]}
    if "A" in row:
        options = [row[letter] for letter in "ABCD"]
        row = {
            "question": row["question"],
            "subject": path.name.split(".")[0].rsplit("_", 1)[0],
            "choices": {"text": options, "label": list("ABCD")},
            "answerKey": row["answerKey"],
        }
    yield row


def quarel(row, path):
    """QuaRel: each world's text in a list of its own, as templates index them."""
    worlds = row.get("world_literals", {})
    lists = {key: [value] if isinstance(value, str) else value for key, value in worlds.items()}
    yield {**row, "world_literals": lists}


def trec(row, path):
    """TREC's ``COARSE:fine text``, and newer Hugging Face rows, as the older ones templates index.

    Both label orders differ between the two releases on the hub; names decide.
    """
    if ":" in str(row.get("label", "")):
        coarse, fine = row["label"].split(":")
        row = {"label_coarse": coarse, "label_fine": fine, "text": row["text"]}
    elif "coarse_label" in row:
        coarse, fine = TREC_NEW_COARSE[row["coarse_label"]], TREC_NEW_FINE[row["fine_label"]]
        row = {"label_coarse": coarse, "label_fine": fine, "text": row["text"]}
    yield row


TREC_NEW_COARSE = "ABBR ENTY DESC HUM LOC NUM".split()
TREC_NEW_FINE = (
    "abb exp animal body color cremat currency dismed event food instru lang letter other plant "
    "product religion sport substance symbol techmeth termeq veh word def desc manner reason gr ind "
    "title desc city country mount other state code count date dist money ord other period perc "
    "speed temp volsize weight"
).split()


def ready_made(row, path):
    """Prompted pairs of others: ``inputs``, ``targets``, and ``choices`` where they have some.

    P3 keeps the texts in ``*_pretokenized`` and token numbers under the plain names.
    """
    pair = {}
    for field in ("inputs", "targets"):
        for name in (f"{field}_pretokenized", field):
            if name in row:
                pair[field] = row[name]
                break
    choices = row.get("choices", row.get("answer_choices"))
    if choices:
        pair["choices"] = list(choices)
    whole = {"inputs", "targets"} <= pair.keys()
    yield pair if whole else {**row, **pair}  # whoever misses a field names those that are there


def title_and_body(row, path):
    """AG News: title and body, with a space between, are the text."""
    if "body" in row:
        row = {"text": f"{row['title']} {row['body']}", "label": row["label"]}
    yield row


_FLAT = (mmlu, quarel, ready_made, stem_and_choices, title_and_body, trec, wsc_fixed)
SHAPES = {**NESTED, **{reader.__name__: reader for reader in _FLAT}}


def find_shape(name):
    """A shape's function. Raises :class:`UserError` with the nearest names."""
    if name not in SHAPES:
        raise UserError(f"no shape {name!r} of rows ({nearest(name, SHAPES)})")
    return SHAPES[name]
