"""Strangers' files: checkpoints, arrays, templates and YAML that would run code, and do not."""

import argparse
import ast
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from yaml.constructor import ConstructorError

from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.data.intermediate_dataset import IntermediatePrompts
from fairseq_metro.data.prompted_files import _gold
from fairseq_metro.data.teacher_targets import TABLE, TeacherCache
from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.interchange.model import read_checkpoint
from fairseq_metro.prompts.collection import find_templates
from fairseq_metro.prompts.mixtures import load_mixture
from fairseq_metro.prompts.task_data.catalogue import BESIDE, descriptions
from fairseq_metro.smash.groups import load_group
from fairseq_metro.smash.tasks import load_task
from tests import distillation
from tests.faults import strangers
from tests.faults.test_bad_inputs import cases, fairseq_train, ours, prepared
from tests.training import ROOT, command

REFUSED = "for safety's sake|cannot be read|not a checkpoint"


@pytest.fixture
def trap(tmp_path):
    return strangers.Trap(tmp_path / "it-ran")


def said_in_one_line(status, said, name, trap):
    """The command failed by one line that names the file, and nothing in the file ran."""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert not trap.sprung
    assert status == 1 and len(errors) == 1 and "Traceback" not in said, said
    assert name in errors[0], errors
    return errors[0]


@pytest.mark.parametrize("make", strangers.CHECKPOINTS, ids=lambda make: make.__name__)
def test_the_traps_work(make, trap, tmp_path):
    """On careless readers, so that the tests below can fail."""
    path = make(tmp_path / "x.pt", trap)
    if make is strangers.plain_pickle:
        np.load(path, allow_pickle=True)
    else:
        torch.load(path, weights_only=False)
    assert trap.sprung


def test_the_other_traps_work(trap, tmp_path):
    np.load(strangers.array(tmp_path / "x.npy", trap), allow_pickle=True)
    assert trap.sprung
    for number, text in enumerate(strangers.yaml_texts(tmp_path / "made")):
        yaml.unsafe_load(text)
        (tmp_path / "made").rename(tmp_path / str(number))


# Checkpoints


def commands(run, out, toys):
    """(command, words) of each that reads a model or a checkpoint from ``run``."""
    file = run / "checkpoint_last.pt"
    yield "predict", [run, "--input", __file__]
    suite = ["--suite", toys / "suite.yaml", "--tasks", toys / "tasks"]
    yield "evaluate", [run, *suite, "--out", out]
    yield "export", [run, "--out", out]
    yield "export-t5", [run, "--out", out]
    yield "export-hf", [run, "--out", out]
    yield "export-roberta", [run, "--out", out]
    yield "import", [file, "--out", out]
    yield "import-roberta", [file, "--out", out]


@pytest.mark.parametrize("name", [name for name, _ in commands(Path(), "", Path())])
def test_no_command_runs_what_is_in_a_checkpoint(name, trap, inputs, toys, tmp_path, capsys):
    for make in strangers.CHECKPOINTS:
        run = tmp_path / make.__name__
        run.mkdir()
        shutil.copytree(inputs / "vocab", run / "vocab")
        make(run / "checkpoint_last.pt", trap)
        words = dict(commands(run, tmp_path / "out", toys))[name]
        status, said = ours(name)(words, capsys)
        said_in_one_line(status, said, "checkpoint_last.pt", trap)


def test_no_teacher_and_no_student_runs_what_is_in_it(
    trap, tmp_path, inputs, mask_model, kshot, capsys
):
    folder = prepared(tmp_path, inputs, mask_model, kshot)
    found = {case[0]: case for case in cases(folder, mask_model)}
    (path,) = (folder / "roberta").glob("*.pt")
    for make in strangers.CHECKPOINTS:
        make(path, trap)
        for name in ("cache-teacher", "fewshot"):
            _, run, words, _, _ = found[name]
            said_in_one_line(*run(words, capsys), path.name, trap)


@pytest.mark.parametrize("make", strangers.CHECKPOINTS[:2], ids=lambda make: make.__name__)
def test_no_training_runs_what_is_in_a_checkpoint(make, trap, inputs, tmp_path, capsys):
    path = make(tmp_path / "checkpoint_last.pt", trap)
    for number, options in enumerate(
        ([], [f"--restore-file={path}"], [f"--init-from={path}"], ["--finetune-from-model", path])
    ):
        saved = tmp_path / f"run{number}"
        saved.mkdir()
        if not options:
            shutil.copy(path, saved)
        status, said = fairseq_train(
            command(inputs / "bin", saved, "--max-update=1", "--no-save", *map(str, options)),
            capsys,
        )
        if options[:1] == ["--finetune-from-model"]:
            assert not trap.sprung and status != 0  # fairseq's own reading: a traceback
        else:
            said_in_one_line(status, said, path.name, trap)


def test_no_weights_of_a_hugging_face_folder_run(trap, tmp_path, capsys):
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "auto_map": '
        '{"AutoConfig": "evil.Evil", "AutoModelForSeq2SeqLM": "evil.Evil"}}'
    )
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(trap.mark)!r})\nclass Evil: pass\n")
    for make in strangers.CHECKPOINTS:
        make(folder / "pytorch_model.bin", trap)
        for name in ("import-t5", "import-roberta", "import"):
            status, said = ours(name)([folder, "--out", tmp_path / "out"], capsys)
            said_in_one_line(status, said, folder.name, trap)


# Arrays


def test_no_array_of_objects_runs(trap, tmp_path):
    with pytest.raises(UserError, match=r"gold\.npy"):
        _gold(strangers.array(tmp_path / "train.gold.npy", trap), 1)
    assert not trap.sprung
    (tmp_path / "made").mkdir()
    data = distillation.make_data(tmp_path / "made")
    strangers.array(data / "train.meta.npy", trap)
    with pytest.raises(UserError, match=r"train\.meta\.npy: missing or damaged"):
        IntermediatePrompts(data, "train", 4)
    cache = TeacherCache.__new__(TeacherCache)
    cache.folder = tmp_path
    strangers.array(tmp_path / TABLE, trap)
    with pytest.raises(UserError, match=TABLE):
        cache.output_layer()
    assert not trap.sprung


# YAML


def of_templates(path):
    """A file of templates below a folder of them, as --templates takes."""
    folder = path.parent / "templates" / "imdb"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / "templates.yaml")
    found = find_templates(path.parent / "templates")
    for name in found.dataset_names():
        found.of(name)


def of_data_sets(path):
    shutil.copy(path, path.parent / BESIDE)
    descriptions(path.parent)


READERS = {
    "suite": lambda path: load_suite(str(path)),
    "mixture": lambda path: load_mixture(str(path)),
    "few-shot task": lambda path: load_task(str(path)),
    "task group": lambda path: load_group(str(path)),
    "templates": of_templates,
    "datasets.yaml": of_data_sets,
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_of_yaml_runs_what_a_file_says(reader, trap, tmp_path, capsys):
    path = tmp_path / "theirs.yaml"
    for text in strangers.yaml_texts(trap.mark):
        path.write_text(text)
        status = run_command(READERS[reader], path)
        said = capsys.readouterr().err
        line = said_in_one_line(status, said, str(tmp_path), trap)
        assert ".yaml" in line and "python/" in line


def test_no_configuration_for_hydra_runs_what_it_says(trap, tmp_path):
    """By the reader that fairseq-hydra-train has."""
    for text in strangers.yaml_texts(trap.mark):
        (tmp_path / "theirs.yaml").write_text(text)
        with pytest.raises(ConstructorError, match="could not determine a constructor"):
            OmegaConf.load(tmp_path / "theirs.yaml")
        assert not trap.sprung


# The code

CARELESS = {
    "yaml.load": lambda call: not any(
        (word.arg == "Loader" and "Safe" in ast.unparse(word.value)) or (word.arg == "Loader"
        and ast.unparse(word.value) == "_Loader") for word in call.keywords
    ),
    "torch.load": lambda call: not any(
        word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in call.keywords
    ),
    "np.load": lambda call: any(
        word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in call.keywords
    ),
}  # fmt: skip
NEVER = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "yaml.unsafe_load", "yaml.full_load",
    "yaml.load_all", "os.system", "joblib.load", "dill.load", "marshal.loads", "shelve.open",
}  # fmt: skip


@pytest.mark.parametrize(
    "folder", ["fairseq_metro", "preprocess", "eval", "train_scripts", "benchmarks"]
)
def test_no_code_of_ours_reads_a_file_carelessly(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            where = f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}"
            assert name not in NEVER, where
            assert not (name in CARELESS and CARELESS[name](node)), where
            assert not any(word.arg == "trust_remote_code" for word in node.keywords), where


def test_the_look_at_the_code_finds_what_is_careless():
    for text, careless in (
        ("torch.load(p)", True), ("torch.load(p, weights_only=True)", False),
        ("yaml.load(s, Loader=yaml.Loader)", True), ("yaml.load(s)", True),
        ("np.load(p, allow_pickle=True)", True), ("np.load(p)", False),
    ):  # fmt: skip
        node = ast.parse(text).body[0].value
        assert CARELESS[ast.unparse(node.func)](node) == careless, text


def test_of_old_checkpoints_only_an_argparse_namespace_is_let_in(tmp_path, trap):
    """The authors' files hold one; with it nothing else comes in."""
    fine = strangers.checkpoint(tmp_path / "a.pt", None, args=argparse.Namespace(a=1))
    assert read_checkpoint(fine)["args"].a == 1
    path = strangers.checkpoint(tmp_path / "b.pt", trap, args=argparse.Namespace(a=1))
    with pytest.raises(UserError, match=REFUSED) as error:
        read_checkpoint(path)
    assert "posix.mkdir" in str(error.value) and not trap.sprung
