"""Nested files -> one row per question, answer or query: shapes that make several rows of one.

A shape takes an item of the file and the file's path (None for the hub), and yields rows as
Hugging Face has them; one that already has that form passes through. Field names are those that
promptsource's templates use.
"""


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


def dream(row, path):
    """DREAM's ``[[turns], [{question, choice, answer}], id]``: one row per question."""
    if "item" not in row:
        yield row
        return
    turns, questions, dialogue_id = row["item"]
    for index, question in enumerate(questions):
        yield {"id": index, "dialogue_id": dialogue_id, "dialogue": turns, **question}


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
                key: [answer[key] for answer in given if key in answer]
                for key in ("text", "answer_start")
            }
            yield {
                **shared,
                "id": question["id"],
                "title": row.get("title", ""),
                "question": question["question"],
                "answers": answers,
            }


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


def adversarial_qa(row, path):
    """AdversarialQA: SQuAD's nesting, and the split in ``metadata``, which templates ask for."""
    for pair in squad(row, path):
        yield (
            pair if "metadata" in pair else {**pair, "metadata": {"split": path.name.split(".")[0]}}
        )


NESTED = {
    reader.__name__: reader
    for reader in (adversarial_qa, dream, duorc, multirc, race, record, squad)
}
