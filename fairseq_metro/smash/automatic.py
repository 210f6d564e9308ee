"""LM-BFF's automatic prompts: templates and label words that were searched for each K-shot split.

A user's copy of LM-BFF has them, one a line and the best first, in ``<K>-<seed>.sort.txt`` below
``auto_template/<Task>/`` (templates in its own notation, which ours is) and below
``auto_label_mapping/<Task>/`` (``{"0": "bad", "1": "good"}``; of csv tasks with numbers as labels,
``{0: "bad", 1: "good"}``). SMASH's figure 3 takes the five best.
Those of a split were found on that split's rows, and are used with it alone.
"""

import ast
from pathlib import Path

import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write
from fairseq_metro.prompts.reading import load_yaml
from fairseq_metro.smash.tasks import load_task, task_file
from fairseq_metro.smash.templates import PromptTemplate

TEMPLATE, VERBALIZER = KINDS = ("template", "verbalizer")
BEST = 5


def variants_of(name, kind, folder, k, seed, best, out):
    """Few-shot tasks with a split's best automatic prompts: list of paths of YAML files.

    name: of a few-shot task, or its file; kind: of KINDS, what is replaced; folder: of LM-BFF's
    files; out: where the files are written, ``<K>-<seed>/<task>-<kind>-<number>.yaml``, the best
    first. Raises :class:`UserError` for a missing or unreadable file.
    """
    task, values = load_task(name), load_yaml(task_file(name))
    path = Path(folder) / task.folder / f"{k}-{seed}.sort.txt"
    parse = _template if kind == TEMPLATE else _words
    paths = []
    for number, (place, line) in enumerate(_lines(path, best), 1):
        key = "template" if kind == TEMPLATE else "words"
        changed = {**values, key: parse(place, line, task), "splits_of": task.name}
        paths.append(Path(out) / f"{k}-{seed}" / f"{task.name}-{kind}-{number}.yaml")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(paths[-1]) as stream:
            yaml.safe_dump(changed, stream, sort_keys=False, allow_unicode=True)
    return paths


def _lines(path, most):
    """The first ``most`` lines that are not empty: list of (place, text). Raises UserError."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give LM-BFF's folder of automatic prompts, "
            "with <Task>/<K>-<seed>.sort.txt in it"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; copy LM-BFF's file again") from None
    lines = [(f"{path}: line {number}", line) for number, line in enumerate(text.split("\n"), 1)
             if line.strip()]  # fmt: skip
    if not lines:
        raise UserError(f"{path}: no prompt in it; copy LM-BFF's file again")
    return lines[:most]


def _template(place, line, task):
    """A template in LM-BFF's notation, as it stands, after it has been parsed."""
    try:
        sentences = PromptTemplate.parse(line.rstrip("\r")).sentences
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    if sentences != task.prompt.sentences:
        raise UserError(
            f"{place}: a template of {sentences} sentences, but {task.name} has "
            f"{task.prompt.sentences}"
        )
    return line.rstrip("\r")


def _words(place, line, task):
    """{label: word} in the task's order. A task of scores calls its ends 0 and 1 there."""
    try:
        words = ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        words = None
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
        raise UserError(
            f'{place}: {line[:60]!r} is no mapping of labels to words; write {{"label": "word", ...}}'
        )
    words = {str(label): word for label, word in words.items()}
    if task.is_regression and set(words) == {"0", "1"}:
        words = dict(zip(task.labels, (words["0"], words["1"]), strict=True))
    if set(words) != set(task.labels):
        raise UserError(
            f"{place}: labels {', '.join(words)}, but {task.name} has {', '.join(task.labels)}"
        )
    return {label: words[label] for label in task.labels}
