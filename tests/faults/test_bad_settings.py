"""Settings of wrong types, unknown names and missing files: every reader, every command, one line."""

import copy
import json
import shutil
import time
from pathlib import Path

import pytest
import yaml

from fairseq_metro.cli import COMMANDS
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.yaml_files import load_yaml
from fairseq_metro.prompts import mixtures, task_data
from fairseq_metro.smash import groups, tasks
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.evaluate.conftest import SUITE
from tests.faults.killing import report
from tests.faults.test_bad_inputs import ours
from tests.faults.test_strangers import READERS

SLOW = pytest.mark.slow
VALUES = [None, -1, 1.5, True, "", "no such thing", [], [[1]], {}, {"a": {"b": 1}}]


def beside(module, name):
    return load_yaml(Path(module.__file__).parent / name)


GOOD = {
    "suite": lambda: yaml.safe_load(SUITE),
    "mixture": lambda: beside(mixtures, "quickstart.yaml"),
    "few-shot task": lambda: beside(tasks, "tasks/sst2.yaml"),
    "task group": lambda: beside(groups, "groups/single_sentence.yaml"),
    "templates": lambda: beside(task_data, "../prompts/own/cr/templates.yaml"),
    "datasets.yaml": lambda: dict([*beside(task_data, "datasets/choices.yaml").items()][:2]),
}


def places(value, path=()):
    """Every place in nested dicts and lists: tuples of keys and indices; of a list the first item."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def changed(good, path, value):
    found = copy.deepcopy(good)
    *above, last = path
    inner = found
    for key in above:
        inner = inner[key]
    inner[last] = value
    return found


def wrongs(good):
    """Copies of good settings with one value of another kind, one key of another name."""
    for path in places(good):
        for value in VALUES:
            yield path, changed(good, path, value)
    if isinstance(good, dict):
        yield ("?",), {**good, "no such key": 1}
        for key in good:
            yield (key,), {name: value for name, value in good.items() if name != key}
    for value in VALUES:
        yield (), value


def complaint(read, path):
    """None where a file is read, or refused in one line that names it; else what is wrong."""
    try:
        read(path)
    except UserError as error:
        said = str(error)
        named = path.name in said or path.parent.name in said
        return None if named and "\\n" not in said else f"names no file: {said}"
    except Exception as error:
        return repr(error)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("kind", GOOD)
def test_a_setting_of_another_kind_is_taken_or_refused_in_one_line(kind, tmp_path):
    began, good, wrong, tried = time.monotonic(), GOOD[kind](), [], 0
    for path, content in wrongs(good):
        file = tmp_path / "theirs.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        shutil.rmtree(tmp_path / "templates", ignore_errors=True)
        problem = complaint(READERS[kind], file)
        tried += 1
        wrong += [f"{path} {content if not path else ''}: {problem}"] if problem else []
    report(kind, "a value of another kind", began, inputs=tried, wrong=len(wrong))
    assert tried > 50 and not wrong, "\n".join(wrong[:40])


def test_a_vocabularys_settings_too(inputs, tmp_path):
    folder = shutil.copytree(inputs / "vocab", tmp_path / "vocab")
    file, began, wrong, tried = folder / "tokenizer.json", time.monotonic(), [], 0
    good = json.loads(file.read_text("utf-8"))
    for path, content in wrongs(good):
        file.write_text(json.dumps(content))
        problem = complaint(lambda _: Vocabulary.load(folder), file)
        tried += 1
        wrong += [f"{path}: {problem}"] if problem else []
    report("vocabulary", "a value of another kind", began, inputs=tried, wrong=len(wrong))
    assert tried > 50 and not wrong, "\n".join(wrong[:40])


# Every command

NOTHING = {
    "documents": ["--source", "GONE", "--out", "OUT"],
    "vocabulary": ["--input", "GONE", "--out", "OUT", "--vocab-size", "70"],
    "import-vocabulary": ["GONE", "--out", "OUT"],
    "binarize": ["--vocab", "GONE", "--train", "GONE", "--valid", "GONE", "--dest", "OUT"],
    "prompts": ["--mixture", "GONE", "--tasks", "GONE", "--vocab", "GONE", "--dest", "OUT"],
    "import-flan": ["GONE", "--out", "OUT"],
    "adopt": ["GONE"],
    "health": ["GONE"],
    "summary": ["GONE"],
    "predict": ["GONE", "--input", "GONE"],
    "evaluate": ["GONE", "--suite", "GONE", "--tasks", "GONE", "--out", "OUT"],
    "import": ["GONE", "--out", "OUT"],
    "export": ["GONE", "--out", "OUT"],
    "import-t5": ["GONE", "--out", "OUT"],
    "export-t5": ["GONE", "--out", "OUT"],
    "import-roberta": ["GONE", "--out", "OUT"],
    "export-hf": ["GONE", "--out", "OUT"],
    "export-roberta": ["GONE", "--out", "OUT"],
    "passages": ["--corpus", "GONE", "--tasks", "GONE", "--out", "OUT"],
    "overlap": ["--corpus", "GONE", "--tasks", "GONE", "--out", "OUT"],
    "reproduce": ["GONE"],
    "corpus-tasks": ["--corpus", "GONE", "--out", "OUT"],
    "intermediate": ["--group", "GONE", "--input", "GONE", "--vocab", "GONE", "--dest", "OUT"],
    "cache-teacher": ["GONE", "--teacher", "GONE", "--dest", "OUT"],
    "kshot": ["--tasks", "GONE", "--task", "sst2", "--out", "OUT"],
    "fewshot": ["--model", "GONE", "--kshot", "GONE", "--task", "sst2", "--out", "OUT"],
    "smash-table": ["1", "--results", "GONE", "--role", "small=x", "--out", "OUT"],
    "smash-figure": ["3", "--results", "GONE", "--role", "small=x", "--out", "OUT"],
}
# They read no file of the user's, or belong to another program.
WITHOUT_FILES = {"corpus", "docstring-tasks", "parameters", "plan", "lm-eval", "figure"}


def test_every_command_is_here():
    assert NOTHING.keys() | WITHOUT_FILES == COMMANDS.keys()


@pytest.mark.parametrize(
    "kind",
    ["missing", *(pytest.param(f"an empty {what}", marks=SLOW) for what in ("file", "folder"))],
)
@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_read_is_one_line(name, kind, tmp_path, capsys):
    gone, out = tmp_path / "gone", tmp_path / "out"
    if kind == "an empty file":
        gone.touch()
    elif kind == "an empty folder":
        gone.mkdir()
    put = {"GONE": gone, "OUT": out}
    try:
        status, said = ours(name)([put.get(word, word) for word in NOTHING[name]], capsys)
    except SystemExit as error:  # argparse: the name is none of those it knows
        status, said = error.code, capsys.readouterr().err
    errors = [line for line in said.splitlines() if "error: " in line]
    assert status not in (0, "Traceback") and len(errors) == 1, (status, said)
    assert str(gone) in errors[0] or gone.name in errors[0], errors
    assert not [path for path in out.rglob("*") if path.is_file() and "/." not in str(path)]
