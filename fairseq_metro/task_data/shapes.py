"""Rows as distributed -> rows as Hugging Face has them, where renaming fields is not enough.

A shape takes a row and the path of its file and yields rows. One that already has its final form
passes through. Source of the forms: facts on raw formats; field names are those that promptsource's
templates use.
"""

from fairseq_metro.errors import UserError
from fairseq_metro.task_data.catalogue import nearest

SHAPES = {}
MANY = set()


def shape(many=False):
    """Register a function as a shape under its name; ``many``: a row may become several."""

    def register(function):
        SHAPES[function.__name__] = function
        if many:
            MANY.add(function.__name__)
        return function

    return register


def find_shape(name):
    """A shape's function. Raises :class:`UserError` with the nearest names."""
    if name not in SHAPES:
        raise UserError(f"no shape {name!r} ({nearest(name, SHAPES)})")
    return SHAPES[name]


@shape()
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


@shape(many=True)
def multirc(row, path):
    """SuperGLUE's MultiRC: one row per answer of each question of a passage."""
    if not isinstance(row.get("passage"), dict):
        yield row
        return
    for question in row["passage"]["questions"]:
        for answer in question["answers"]:
            yield {
                "paragraph": row["passage"]["text"],
                "question": question["question"],
                "answer": answer["text"],
                "label": answer.get("label"),
                "idx": {
                    "paragraph": row.get("idx"),
                    "question": question.get("idx"),
                    "answer": answer.get("idx"),
                },
            }


@shape(many=True)
def record(row, path):
    """SuperGLUE's ReCoRD: one row per query; entities and answers as sorted distinct texts."""
    if not isinstance(row.get("passage"), dict):
        yield row
        return
    text = row["passage"]["text"]
    spans = row["passage"]["entities"]
    entities = sorted({text[span["start"] : span["end"] + 1] for span in spans})
    for query in row["qas"]:
        yield {
            "passage": text,
            "query": query["query"],
            "entities": entities,
            "answers": sorted({answer["text"] for answer in query.get("answers", ())}),
            "idx": {"passage": row.get("idx"), "query": query.get("idx")},
        }


@shape(many=True)
def dream(row, path):
    """DREAM's ``[[turns], [{question, choice, answer}], id]``: one row per question."""
    if "item" not in row:
        yield row
        return
    turns, questions, dialogue_id = row["item"]
    for index, question in enumerate(questions):
        yield {"id": index, "dialogue_id": dialogue_id, "dialogue": turns, **question}


@shape()
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


@shape()
def mmlu(row, path):
    """MMLU's tables without header, as ARC's rows, with the subject from the file's name."""
    if "A" in row:
        options = [row[letter] for letter in "ABCD"]
        row = {
            "question": row["question"],
            "subject": path.name.split(".")[0].rsplit("_", 1)[0],
            "choices": {"text": options, "label": list("ABCD")},
            "answerKey": row["answerKey"],
        }
    yield row


@shape()
def quarel(row, path):
    """QuaRel: each world's text in a list of its own, as templates index them."""
    worlds = row.get("world_literals", {})
    lists = {key: [value] if isinstance(value, str) else value for key, value in worlds.items()}
    yield {**row, "world_literals": lists}


@shape(many=True)
def squad(row, path):
    """SQuAD's nesting (Quoref, AdversarialQA too): one row per question of each paragraph."""
    if "paragraphs" not in row:
        yield row
        return
    for paragraph in row["paragraphs"]:
        shared = {key: value for key, value in paragraph.items() if key != "qas"}
        for question in paragraph["qas"]:
            given = question.get("answers", ())
            answers = {
                key: [one[key] for one in given if key in one] for key in ("text", "answer_start")
            }
            yield {
                **shared,
                "id": question["id"],
                "title": row.get("title", ""),
                "question": question["question"],
                "answers": answers,
            }


@shape(many=True)
def race(row, path):
    """RACE: an article's file with parallel lists; one row per question."""
    if "questions" not in row:
        yield row
        return
    for question, answer, options in zip(
        row["questions"], row["answers"], row["options"], strict=True
    ):
        yield {
            "example_id": row["id"],
            "article": row["article"],
            "question": question,
            "options": options,
            "answer": answer,
        }


@shape(many=True)
def duorc(row, path):
    """DuoRC: one row per question of each plot."""
    if "qa" not in row:
        yield row
        return
    for question in row["qa"]:
        yield {
            "plot_id": row["id"],
            "plot": row["plot"],
            "title": row["title"],
            "question_id": question["id"],
            "question": question["question"],
            "answers": question["answers"],
            "no_answer": question["no_answer"],
        }


@shape()
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


@shape()
def ready_made(row, path):
    """Prompted pairs of others: ``inputs``, ``targets``, and ``choices`` where they have some.

    P3 keeps the texts in ``*_pretokenized`` and token numbers under the plain names.
    """
    pair = {}
    for field in ("inputs", "targets"):
        pair[field] = row.get(f"{field}_pretokenized", row.get(field))
    choices = row.get("choices", row.get("answer_choices"))
    if choices:
        pair["choices"] = list(choices)
    yield pair


@shape()
def title_and_body(row, path):
    """AG News: title and body, with a space between, are the text."""
    if "body" in row:
        row = {"text": f"{row['title']} {row['body']}", "label": row["label"]}
    yield row
