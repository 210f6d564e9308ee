"""A few-shot task's original files: LM-BFF's layout where it is there, else a data set's own.

Lines go into splits as they are, whatever the format, and tests are the original files to the byte.
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError, shown_names
from fairseq_metro.common.sources import BadRows, open_bytes
from fairseq_metro.common.sources.kinds import unpacked_name
from fairseq_metro.prompts.collection import nearest
from fairseq_metro.prompts.task_data import open_dataset
from fairseq_metro.prompts.task_data.bad_row import BadRow, good_rows
from fairseq_metro.prompts.task_data.catalogue import Description, descriptions
from fairseq_metro.prompts.task_data.lines import raw_lines
from fairseq_metro.prompts.task_data.nested import NESTED
from fairseq_metro.prompts.task_data.places import find_splits
from fairseq_metro.prompts.task_data.readers import format_of, records
from fairseq_metro.smash import lmbff

logger = logging.getLogger(__name__)

LINE_FORMATS = ("jsonl", "label_text", "tsv")
DRAW_SEED = 0


@dataclass(frozen=True)
class Originals:
    """What splits are cut from.

    header, lines: of the train file, bytes with their ends; buckets: what each line is balanced
    over; tests: split -> bytes; files: those read; suffix: of what is written; layout: how to read
    that again, None for LM-BFF's; train: name of the train file.
    """

    header: list
    lines: list
    buckets: list
    tests: dict
    files: list
    suffix: str
    layout: dict | None
    dev: str = "dev"


def find_originals(task, folder, max_bad_rows=None):
    """The :class:`Originals` of a task below a folder of tasks. Raises :class:`UserError`.

    max_bad_rows: how many bad rows of the train file are left out, as BadRows takes it; the log says
    which. Tests stay as they are.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the folder of task data")
    if task.lmbff is not None and (place := lmbff.find_folder(task, folder)):
        return _lmbff_originals(task, place, BadRows(max_bad_rows))
    if task.dataset is not None:
        return _dataset_originals(task, folder, max_bad_rows)
    raise UserError(
        f"{folder}: no {task.folder}/{task.lmbff.files['train']}.{task.lmbff.format} and its test; "
        f"give the folder of {task.title}'s original files"
    )


def _lmbff_originals(task, folder, bad_rows):
    spec = task.lmbff
    paths = {split: lmbff.find_file(task, folder, split) for split in spec.files}
    header, lines, buckets = lmbff.read_lines(task, paths["train"], bad_rows)
    _report(task, bad_rows)
    return Originals(
        [line.encode() for line in header],
        [line.encode() for line in lines],
        buckets,
        {split: paths[split].read_bytes() for split in task.tests.values()},
        sorted({paths[split] for split in ("train", *task.tests.values())}),
        f".{spec.format}",
        None,
        spec.files.get("dev", "dev"),
    )


def _report(task, *counts):
    for bad_rows in counts:
        for sentence in bad_rows.summary():
            logger.warning("%s: %s", task.title, sentence)


def _dataset_originals(task, folder, max_bad_rows):
    spec = task.dataset
    data = open_dataset(spec.name, folder)
    places = find_splits(descriptions(folder).get(spec.name, Description(spec.name)), folder)
    train = _place(task, places, spec.splits["train"])
    header, lines = _lines(train)
    of_files, of_task = BadRows(max_bad_rows), BadRows(max_bad_rows)
    rows = list(data.rows(spec.splits["train"], bad_rows=of_files))
    if len(rows) != len(lines):
        raise UserError(
            f"{train.files[0]}: {len(rows)} rows in {len(lines)} lines; give it as jsonl"
        )
    path = train.files[0]
    read = [(line, row) for line, row in zip(lines, rows, strict=True) if row is not None]
    judged = (_with_bucket(task, data.features, path, *pair) for pair in read)
    usable = [pair for pair in good_rows(judged, of_task) if pair is not None]
    lines, buckets = [line for line, _ in usable], [bucket for _, bucket in usable]
    _report(task, of_files, of_task)
    tests, files = {}, [path]
    for split in task.tests.values():
        if split in spec.splits:
            place = _place(task, places, spec.splits[split])
            if _plain(place.layout, place.files[0]) != _plain(train.layout, path):
                raise UserError(f"{place.files[0]}: not in the format of {path}; write both alike")
            with open_bytes(place.files[0]) as stream:
                tests[split] = stream.read()
            files.append(place.files[0])
    layout = {"dataset": spec.name, "features": data.features, **_plain(train.layout, path)}
    suffix = "".join(Path(unpacked_name(path.name)).suffix) if format_of(path) else ".txt"
    if spec.drawn_test:
        lines, buckets, drawn = _drawn(task, path, lines, buckets, spec.drawn_test)
        tests = dict.fromkeys(task.tests.values(), b"".join([*header, *drawn]))
    return Originals(header, lines, buckets, tests, sorted(set(files)), suffix, layout)


def _with_bucket(task, features, path, line, row):
    """A line with what it is balanced over, or the :class:`BadRow` that its row is."""
    try:
        dataset_texts(task, row)  # as the splits' readers will want them
        return line, lmbff.score_half(task, path, str(row), dataset_label(task, features, row))
    except BadRow as bad:
        return bad


def dataset_texts(task, row):
    """A row's sentences, in the task's order: tuple of str. Raises :class:`BadRow`."""
    texts = tuple(_field(task, row, "text", name) for name in task.dataset.text)
    if not all(isinstance(text, str) for text in texts):
        odd = next(name for name in task.dataset.text if not isinstance(row[name], str))
        problem = f"{task.dataset.name}: field {odd!r} is {row[odd]!r:.40}, not a text"
        raise BadRow(problem, f"{odd!r} not a text")
    return texts


def _field(task, row, key, name):
    if name not in row:
        raise BadRow(
            f"{task.name}: {key!r} names {name!r}, which is no field of {task.dataset.name} "
            f"({nearest(name, row)}; the fields: {shown_names(row)}); correct it in the task's file",
            f"without {name!r}",
        )
    return row[name]


def dataset_label(task, features, row):
    """A row's label by the task's name for it: str, or the score as it is."""
    spec = task.dataset
    value = _field(task, row, "label", spec.label)
    if task.is_regression or not isinstance(value, int):
        return value
    names = spec.labels or (features.get(spec.label) or {}).get("classes")
    if not names or not 0 <= value < len(names):
        raise BadRow(
            f"{spec.name}: label {value!r} has no name; give `labels` in {task.name}.yaml",
            "with a label without a name",
        )
    return names[value]


def _place(task, places, split):
    if split not in places:
        raise UserError(f"{task.dataset.name}: no file of split {split!r}; it is needed for K-shot")
    place = places[split]
    kind = place.layout.format or format_of(place.files[0])
    if kind not in LINE_FORMATS or len(place.files) > 1 or place.label_file:
        raise UserError(
            f"{place.files[0]}: splits are cut from one file of lines ({', '.join(LINE_FORMATS)}), "
            f"not {kind}; write it as jsonl"
        )
    if place.layout.shape in NESTED:
        raise UserError(
            f"{place.files[0]}: a line holds several rows; write a row a line, as jsonl"
        )
    return place


def _lines(place):
    """Header and lines of a file, bytes that end in a newline: those its records came from."""
    path, layout = place.files[0], place.layout
    raw = {number: line.removesuffix(b"\n") + b"\n" for number, line in raw_lines(path)}
    numbers = [number for number, _ in records(path, layout)]
    kind = layout.format or format_of(path)
    return [raw[1]] if kind == "tsv" and not layout.columns else [], [raw[n] for n in numbers]


def _drawn(task, path, lines, buckets, size):
    """``size`` lines for the test, the same for every seed and K, in their order; and the rest."""
    if len(lines) <= size:
        raise UserError(
            f"{path}: {len(lines)} rows, but {size} of them are drawn for {task.title}'s test; set "
            "drawn_test in the task's file"
        )
    draw = set(np.random.RandomState(DRAW_SEED).permutation(len(lines))[:size].tolist())
    rest = [i for i in range(len(lines)) if i not in draw]
    return [lines[i] for i in rest], [buckets[i] for i in rest], [lines[i] for i in sorted(draw)]


def _plain(layout, path):
    """What reads a file of this layout again, for JSON; keys of labels may be numbers."""
    fields = asdict(layout)
    labels = {name: list(map(list, pairs.items())) for name, pairs in layout.labels.items()}
    return {
        "format": layout.format or format_of(path),
        "labels": labels,
        **{
            k: fields[k]
            for k in ("encoding", "columns", "delimiter", "short_rows", "rename", "shape")
        },
    }
