"""Few-shot tasks as data: ``tasks/*.yaml``, or a user's file with the same keys.

``title`` (name in tables), ``folder`` (of its splits; LM-BFF's name), ``group`` (whose student is
fine-tuned), ``metric``, ``template``, ``words`` (label -> word; of ``interval`` the low and the
high one), ``max_length`` (SMASH's), ``tests`` (name in tables -> test split), ``splits_of`` (another
task, whose K-shot splits are read), and where its files are: ``lmbff`` (LM-BFF's layout) and
``dataset`` (a data set of task_data).

Sources: SMASH, section 4.1 and appendix A.2; LM-BFF (Gao et al. 2020), tables B.1 and 1.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import load_yaml
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.mixtures.keys import checked
from fairseq_metro.smash.task_keys import DATASET_KEYS, LENGTH_KEYS, LMBFF_KEYS, TASK_KEYS
from fairseq_metro.smash.templates import PromptTemplate
from fairseq_metro.smash.truncation import BUDGET
from fairseq_metro.smash.verbalizers import Verbalizer

_FOLDER = Path(__file__).parent / "tasks"
# The paper's schedule: K up to -> updates (SMASH, figure 4 and appendix A.2).
STEPS = {32: 1000, 128: 2000, 256: 4000}


@dataclass(frozen=True)
class LmbffFiles:
    """LM-BFF's files. text, label, bucket: numbers of columns, -1 the last; files: split -> stem.

    bucket: the column that splits are balanced over, where it is not the label's; short_rows:
    "skip" rows that lack columns; rows: published counts; lengths: LM-BFF's own, where they are
    wanted instead of ours (max_length, and sentences: most tokens of each).
    """

    format: str
    text: tuple[int, ...]
    label: int
    files: dict
    header: bool = True
    bucket: int | None = None
    short_rows: str = "error"
    rows: dict = field(default_factory=dict)
    lengths: dict = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetFields:
    """A data set's fields. labels: our label for each of its class numbers (None: class names).

    splits: ours -> its; drawn_test: rows of its train split that become the test, where none is
    published.
    """

    name: str
    text: tuple[str, ...]
    splits: dict
    label: str = "label"
    labels: tuple[str, ...] | None = None
    drawn_test: int | None = None


@dataclass(frozen=True)
class FewshotTask:
    """One task; the fields are the module's words. ``name`` is that of its file."""

    name: str
    title: str
    metric: str
    template: str
    words: dict
    max_length: int
    group: str | None = None
    folder: str | None = None
    splits_of: str | None = None
    interval: tuple[float, float] | None = None
    tests: dict = field(default_factory=dict)
    lmbff: LmbffFiles | None = None
    dataset: DatasetFields | None = None

    @property
    def is_regression(self):
        """Whether its labels are scores in ``interval``."""
        return self.interval is not None

    @property
    def labels(self):
        """Labels in the order of their words: tuple of str."""
        return tuple(self.words)

    @cached_property
    def prompt(self):
        """Its :class:`PromptTemplate`."""
        return PromptTemplate.parse(self.template)

    def verbalizer(self, tok):
        """Its :class:`Verbalizer` in a tokenizer. Raises :class:`UserError`."""
        return Verbalizer.parse(self.words, tok)

    def build(self, sentences, tok, max_length=None, truncation=BUDGET, lmbff_lengths=False):
        """A Prompt of an example's sentences in a tokenizer's ids; Prompt.trimmed: whether cut.

        max_length: by default the task's; lmbff_lengths: LM-BFF's lengths instead, with its limits
        of single sentences. Raises :class:`UserError`.
        """
        limits = ()
        if lmbff_lengths:
            if self.lmbff is None or not self.lmbff.lengths:
                raise UserError(f"{self.name} has no lengths of LM-BFF's; leave them out")
            max_length = max_length or self.lmbff.lengths["max_length"]
            limits = self.lmbff.lengths.get("sentences", ())
        return self.prompt.build(sentences, tok, max_length or self.max_length, truncation, limits)


def task_names():
    """Names of the package's few-shot tasks, sorted: list of str."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_task(name):
    """A task by its name or its YAML file: :class:`FewshotTask`.

    Raises :class:`UserError` with the nearest names, or with the place of what is wrong.

    >>> load_task("stsb").words, load_task("mnli").tests
    ({'low': 'No', 'high': 'Yes'}, {'MNLI-m': 'test_matched', 'MNLI-mm': 'test_mismatched'})
    """
    path = task_file(name)
    return read_task(path, load_yaml(path))


def task_file(name):
    """The YAML file of a task's name, or a user's own: Path. Raises :class:`UserError`."""
    if str(name) in task_names():
        return _FOLDER / f"{name}.yaml"
    if not Path(name).is_file():
        known = task_names()
        raise UserError(
            f"no few-shot task {str(name)!r} ({nearest(str(name), known)}; all: "
            f"{', '.join(known)}); give one of them or a YAML file"
        )
    return Path(name)


def read_task(path, values):
    """The :class:`FewshotTask` that a file's values describe. Raises :class:`UserError`."""
    values = _complete(
        path, values, TASK_KEYS, ("title", "metric", "template", "words", "max_length")
    )
    for key, keys, kind, needed in (
        ("lmbff", LMBFF_KEYS, LmbffFiles, ("format", "text", "label", "files")),
        ("dataset", DATASET_KEYS, DatasetFields, ("name", "text", "splits")),
    ):
        if key in values:
            values[key] = kind(**_complete(f"{path}: {key}", values[key], keys, needed))
    if "lmbff" in values and (lengths := values["lmbff"].lengths):
        _complete(f"{path}: lmbff: lengths", lengths, LENGTH_KEYS, ("max_length",))
    values.setdefault("folder", values["title"])
    values.setdefault("tests", {values["title"]: "test"})
    task = FewshotTask(name=Path(path).stem, **values)
    _check(path, task)
    return task


def _complete(place, values, keys, needed):
    values = checked(place, values, keys)
    for key in needed:
        if key not in values:
            raise UserError(f"{place}: no {key!r}; give {keys[key].expected}")
    return values


def _check(path, task):
    if task.lmbff is None and task.dataset is None:
        raise UserError(f"{path}: say where its files are: give lmbff or dataset")
    if task.is_regression and (len(task.words) != 2 or task.metric != "pearson"):
        raise UserError(f"{path}: an interval goes with two words and the metric pearson")
    if not task.is_regression and task.metric == "pearson":
        raise UserError(f"{path}: the metric pearson goes with an interval")
    labels = task.dataset and task.dataset.labels
    if labels and not task.is_regression and set(labels) != set(task.labels):
        raise UserError(f"{path}: labels {labels} are not those of words, {task.labels}")
    try:
        task.prompt  # noqa: B018  parsed here, so that the file is named
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    for where in filter(None, (task.lmbff, task.dataset)):
        if len(where.text) != task.prompt.sentences:
            raise UserError(
                f"{path}: the template takes {task.prompt.sentences} sentences, text names "
                f"{len(where.text)}"
            )
    for split in task.tests.values():
        drawn = task.dataset and task.dataset.drawn_test and split == "test"
        for files in (task.lmbff and task.lmbff.files, task.dataset and task.dataset.splits):
            if files is not None and split not in files and not drawn:
                raise UserError(f"{path}: no file is named for the test split {split!r}")
            if files is not None and files.get(split, "") == files.get("train"):
                raise UserError(
                    f"{path}: 'train' and the test split {split!r} are both {files[split]!r}, so "
                    "the test would be trained on; name another file for one of them"
                )


def steps_for(k):
    """Updates of a run with K examples a label, by the paper's schedule. Raises UserError.

    >>> [steps_for(k) for k in (16, 32, 64, 128, 256)]
    [1000, 1000, 2000, 2000, 4000]
    """
    for most, steps in STEPS.items():
        if 1 <= k <= most:
            return steps
    raise UserError(f"K is {k}; the schedule is known for 1 to {max(STEPS)}: give the steps")


def required_words(tasks=None, more=()):
    """Words that a vocabulary must hold as one piece each: label words and words of prompts.

    tasks: FewshotTasks, by default the package's; more: templates (source) and label words of
    groups, say. Returns a sorted list of str for ``train_vocabulary --require-words``.
    """
    tasks = [load_task(name) for name in task_names()] if tasks is None else tasks
    words = {word for task in tasks for word in (*task.words.values(), *task.prompt.words)}
    for text in more:
        words |= set(PromptTemplate.parse(text).words) if "*" in text else {text}
    return sorted(words)
