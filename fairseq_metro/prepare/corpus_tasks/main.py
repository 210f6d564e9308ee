"""Few-shot tasks from a corpus: the topic of a sentence, openings of paragraphs, order, neighbours.

Reads CORPUS/train.txt and valid.txt as default_corpus.py and the quickstart write them (a paragraph
a line, a blank line after each document) and writes TASKS/corpus/<task>/{train,test}.jsonl and
TASKS/<task>.yaml, which fairseq-metro fewshot reads. Test rows are of valid.txt alone, without a
sentence of train.txt, so that a model trained on train.txt has not seen them. Labels are balanced; the
topics are words of the corpus, which the sentences themselves do not mention.
"""

import logging
from pathlib import Path

import yaml

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write, sha256_file, write_json, writing
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.data.randomness import generator
from fairseq_metro.prepare.corpus_tasks import rows
from fairseq_metro.prepare.corpus_tasks.topics import choose_topics
from fairseq_metro.prepare.docstring_tasks.main import write_rows
from fairseq_metro.prepare.docstring_tasks.texts import normalised
from fairseq_metro.prepare.split import documents

logger = logging.getLogger(__name__)

FOLDER = "corpus"  # the data sets are corpus/topic, ...
STAMP = "corpus_tasks.json"
TRAIN, TEST = "train", "test"
SIDES = {TRAIN: "train.txt", TEST: "valid.txt"}
MOST = {TRAIN: 2000, TEST: 600}  # rows of a task
LEAST_TEST = 40  # rows for an accuracy that says something
LEAST_OF_LABEL = 64  # in train: 32 examples a label, for train and dev
ROWS = 33  # a purpose of draws (data/randomness.py)
# What a task's file says beside its data; topic gets its words from the corpus.
SINGLE, PAIR = "single_sentence", "sentence_pair"
TASKS = {
    "topic": {
        "group": SINGLE, "template": "*cls**sent_0*_It_was*mask*.*sep+*", "text": ["sentence"],
    },
    "opening": {
        "group": SINGLE, "template": "*cls**sent_0*_It_was*mask*.*sep+*", "text": ["sentence"],
        "words": {rows.FIRST: "good", rows.LATER: "okay"},
    },
    "order": {
        "group": SINGLE, "template": "*cls**sent_0*_It_was*mask*.*sep+*", "text": ["sentence"],
        "words": {rows.MIXED: "bad", rows.INTACT: "good"},
    },
    "adjacent": {
        "group": PAIR, "template": "*cls**sent-_0*?*mask*,*+sentl_1**sep+*",
        "text": ["first", "second"], "words": {rows.APART: "No", rows.ADJACENT: "Yes"},
    },
}  # fmt: skip
MAKERS = {
    "topic": rows.topic,
    "opening": rows.opening,
    "order": rows.order,
    "adjacent": rows.adjacent,
}


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--corpus", required=True, type=Path, help="Folder with train.txt and valid.txt.")
    add("--out", required=True, type=Path, metavar="TASKS", help="Folder to write the tasks to.")
    add("--max-length", type=int, default=64,
        help="Maximum number of tokens in a prompt (default: 64).")  # fmt: skip
    add("--seed", type=int, default=1, help="Random seed for sampling rows (default: %(default)s).")
    return parser


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    for name, least in (("seed", 0), ("max_length", 32)):
        if getattr(args, name) < least:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least}")
    write_tasks(args.corpus, args.out, args.max_length, args.seed)
    return 0


def write_tasks(corpus, out, max_length=64, seed=1):
    """Write the tasks of a corpus below ``out``; return the stamp.

    Raises :class:`UserError` where the corpus cannot be read or has too little for a task.
    """
    sides = sides_of(corpus)
    topics = topics_or_none(sides[TRAIN])
    made = {name: draw(name, sides, topics, seed) for name in MAKERS}
    made = {name: splits for name, splits in made.items() if enough(name, splits)}
    if not made:
        raise UserError(
            f"{corpus}: too little text for any task; give more, documents apart by blank lines, or "
            "TASKS of your own"
        )
    files = {}
    with writing(out):
        for name, splits in made.items():
            for side, rows_of_side in splits.items():
                path = f"{FOLDER}/{name}/{side}.jsonl"
                files[path] = {
                    "rows": len(rows_of_side), "sha256": write_rows(out / path, rows_of_side)
                }  # fmt: skip
            with atomic_write(out / f"{name}.yaml") as stream:
                stream.write(task_text(name, topics, max_length))
        sources = {name: sha256_file(corpus / name) for name in SIDES.values()}
        stamp = make_stamp(seed=seed, corpus=sources, topics=list(topics), files=files)
        write_json(out / STAMP, stamp)
    total = sum(entry["rows"] for entry in files.values())
    logger.info("%s: %d rows of the tasks %s", out, total, ", ".join(made))
    if "topic" in made:
        logger.info("topics: %s", ", ".join(topics))
    return stamp


def topics_or_none(documents):
    """The topics of documents; () with a log message if there are too few."""
    try:
        return choose_topics([document.text for document in documents])
    except UserError as error:
        logger.info("%s", error)
        return ()


def draw(name, sides, topics, seed):
    """Rows of a task by side, whole groups, shuffled: dict of lists of dict."""
    tasks = {}
    for side, of_side in sides.items():
        rng = generator(seed, 0, 2 * list(MAKERS).index(name) + (side == TEST), ROWS)
        tasks[side] = take(MAKERS[name](of_side, rng, topics), MOST[side], rng)
    return tasks


def enough(name, rows):
    """Whether a task has rows for 32 examples per label and a test; logs a message if not."""
    labels = len({row["label"] for row in rows[TRAIN]})
    good = len(rows[TEST]) >= LEAST_TEST and len(rows[TRAIN]) >= LEAST_OF_LABEL * max(labels, 1)
    if not good:
        logger.info("the task %s is left out: %d rows for training, %d for the test are too few",
                    name, len(rows[TRAIN]), len(rows[TEST]))  # fmt: skip
    return good


def read(path, seen=frozenset()):
    """Documents of a file of the corpus: list of :class:`rows.Document`."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; --corpus is a folder with train.txt and valid.txt")
    return [rows.document_of(text, seen) for text in documents([path])]


def sides_of(corpus):
    """Documents by side, the test's without sentences that training has too: dict of lists."""
    trained = read(corpus / SIDES[TRAIN])
    seen = {normalised(sentence) for document in trained for sentence in document.sentences}
    return {TRAIN: trained, TEST: read(corpus / SIDES[TEST], seen)}


def take(groups, most, rng):
    """Whole groups, in their order, of at most ``most`` rows together, shuffled: list of dict."""
    chosen = []
    for group in groups:
        if len(chosen) + len(group) > most:
            break
        chosen += group
    return [chosen[i] for i in rng.permutation(len(chosen))]


def task_text(name, topics, max_length):
    """A task's YAML file."""
    task = dict(TASKS[name])
    words = task.get("words") or {topic: topic for topic in topics}
    return yaml.safe_dump(
        {
            "title": name, "group": task["group"], "metric": "accuracy",
            "template": task["template"], "words": words, "max_length": max_length,
            "dataset": {
                "name": f"{FOLDER}/{name}", "text": task["text"],
                "splits": {TRAIN: TRAIN, TEST: TEST},
            },
        },
        sort_keys=False,
    )  # fmt: skip
