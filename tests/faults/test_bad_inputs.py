"""Damaged, odd and missing inputs over the commands: one line that names the file, or a clean end."""

import importlib
import random
import shutil
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from fairseq_metro.cli import COMMANDS
from fairseq_metro.common.errors import UserError, run_command, user_message
from fairseq_metro.evaluate.fewshot import loaded
from tests import distillation
from tests.faults.killing import report
from tests.tasks import test_prompt_finetuning as finetuning
from tests.training import call, command

SHORT = ["--max-update=2", "--disable-validation"]


@dataclass(frozen=True)
class Damage:
    """A way to damage a file. always: whether no command may take the file then."""

    name: str
    always: bool

    def __str__(self):
        return self.name


DAMAGES = [
    Damage("missing", True),
    Damage("empty", True),
    Damage("a folder", True),
    Damage("cut", False),
    Damage("other bytes", False),
    Damage("not UTF-8", False),
    Damage("one huge line", False),
    Damage("zeros", False),
]


def inflict(damage, path, rng):
    """Damage a file in place, at places that ``rng`` draws."""
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage.name == "a folder":
        path.mkdir()
    elif damage.name == "empty":
        path.touch()
    elif damage.name == "cut":
        path.write_bytes(content[: rng.randrange(1, max(2, len(content) - 1))])
    elif damage.name == "other bytes":
        for _ in range(20):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
    elif damage.name == "not UTF-8":
        path.write_bytes(b"\xff\xfe\xc3" + content)
    elif damage.name == "one huge line":
        path.write_bytes(content.replace(b"\n", b" ") * 20)
    elif damage.name == "zeros":
        path.write_bytes(bytes(len(content)))


def ours(name):
    """A console command in this process: argv -> (status, what it said)."""

    def run(argv, capsys):
        module = importlib.import_module(f"fairseq_metro.{COMMANDS[name].module}")
        capsys.readouterr()
        try:
            status = run_command(module.main, list(map(str, argv)))
        except Exception as error:
            return "Traceback", repr(error)
        return status or 0, capsys.readouterr().err

    return run


def forget_few_shot_files():
    """What few-shot runs of this process have read: a later case's files have the same names."""
    for cached in vars(loaded).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()
    loaded._first_with.clear()


def fairseq_train(argv, capsys):
    """fairseq-train in this process, whose hook prints what user_message finds."""
    try:
        call("train", argv)
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else user_message(error)
        if message is None:
            return "Traceback", "".join(traceback.format_exception(error)[-3:])
        return 1, f"error: {message}\n"
    return 0, ""


def cases(folder, mask_model):
    """{name: (run, argv, files that may be damaged, output or None)} in a copy of the inputs."""
    text, vocab, data, prompts = (folder / n for n in ("text", "vocab", "bin", "prompts"))
    made, out = folder / "made", folder / "out"
    task = next(path.parent for path in sorted((prompts / "train").glob("*/*.src.bin")))
    first = f"{task.name}/train.src-tgt"
    run = folder / "roberta"
    shutil.copytree(mask_model, run)
    (checkpoint,) = run.glob("*.pt")
    originals = folder / "kshot"
    kshot = [path for path in sorted(originals.rglob("train.tsv"))][:1]
    yield "vocabulary", ours("vocabulary"), [
        "--input", text / "train.txt", "--out", out, "--vocab-size", 70,
    ], [text / "train.txt"], out  # fmt: skip
    yield "binarize", ours("binarize"), [
        "--vocab", vocab, "--train", text / "train.txt", "--valid", text / "valid.txt", "--dest",
        out, "--workers", 1,
    ], [text / "train.txt", text / "valid.txt", vocab / "dict.txt",
        *vocab.glob("*.model"), *vocab.glob("*.json")], out  # fmt: skip
    yield "intermediate", ours("intermediate"), [
        "--group", "sentence_pair", "--input", text / "train.txt", "--vocab", run / "vocab",
        "--dest", out, "--workers", 1, "--size", 30,
    ], [text / "train.txt", *(run / "vocab").glob("*.model")], out  # fmt: skip
    yield "cache-teacher", ours("cache-teacher"), [
        made, "--teacher", run, "--dest", out,
    ], [made / "train.prompts.bin", made / "train.prompts.idx", made / "intermediate.json",
        checkpoint], out  # fmt: skip
    yield "fewshot", ours("fewshot"), [
        "--model", run, "--kshot", originals, "--task", "sst2", "--seeds", 13, "--lr", "1e-3",
        "--batch", 4, "--steps", 2, "--k", 4, "--jobs", 1, "--device", "cpu", "--rows", "prompt",
        "--out", out,
    ], [*kshot, checkpoint], None  # fmt: skip
    yield "export-roberta", ours("export-roberta"), [run, "--out", out], [checkpoint], out
    yield "pretrain", fairseq_train, command(data, folder / "saved", *SHORT), [
        data / "train.bin", data / "train.idx", data / "vocab" / "dict.txt", *data.glob("*.json"),
    ], None  # fmt: skip
    yield "finetune", fairseq_train, finetuning.command(
        prompts, folder / "saved", *SHORT
    ), [
        prompts / f"train/{first}.src.bin", prompts / f"train/{first}.src.idx",
        prompts / f"train/{first}.tgt.idx", prompts / "train/data_cap.json",
        prompts / "train/mixture.json", prompts / "vocab/dict.txt",
    ], None  # fmt: skip


def prepared(tmp_path, inputs, mask_model, kshot):
    """A copy of the inputs that a case may damage."""
    folder = tmp_path / "work"
    shutil.copytree(inputs, folder)
    shutil.copytree(kshot, folder / "kshot")
    (tmp_path / "distillation").mkdir()
    data = distillation.make_data(tmp_path / "distillation")
    shutil.copytree(data, folder / "made")
    return folder


def check(name, run, argv, path, damage, out, capsys):
    """Run on a damaged file; None where all is well, else what is wrong."""
    forget_few_shot_files()
    status, said = run(argv, capsys)
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    where = f"{name}, {path.name} {damage}"
    if status == 0:
        if (name, path.name, damage.name) == ("pretrain", "stamp.json", "missing"):
            return None  # data as fairseq-preprocess leaves it
        return f"{where}: taken as if nothing were" if damage.always else None
    if len(errors) != 1 or "Traceback" in said:
        return f"{where}: {status}, no one line: {said[-600:]}"
    names = (path.name, path.parent.name, path.parent.parent.name, path.stem)
    if not any(known in errors[0] for known in names):
        return f"{where}: the line names no file: {errors[0]}"
    # What a hidden folder holds waits for the same command to go on.
    left = [p for p in out.rglob("*.bin") if f"{out}/." not in str(p)] if out is not None else []
    if left:
        return f"{where}: left a part of the output in {left[:3]}"
    return None


def sweep(tmp_path, inputs, mask_model, kshot, capsys, wanted=None, damages=DAMAGES, seed=0):
    """Every damage to every file of every case: (number tried, what is wrong)."""
    tried, wrong, whole = 0, [], tmp_path / "whole"
    source = prepared(whole, inputs, mask_model, kshot)
    found = [(c[0], len(c[3])) for c in cases(_copy(source, tmp_path / "count"), mask_model)]
    for name, count in found:
        if wanted and name not in wanted:
            continue
        for place in range(count):
            for damage in damages:
                folder = _copy(source, tmp_path / "one")
                case = next(c for c in cases(folder, mask_model) if c[0] == name)
                _, run, argv, files, out = case
                inflict(damage, files[place], random.Random(f"{seed} {name} {place} {damage}"))
                problem = check(name, run, argv, files[place], damage, out, capsys)
                tried += 1
                wrong += [problem] if problem else []
                shutil.rmtree(folder)
    return tried, wrong


def _copy(source, folder):
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(source, folder))


def test_missing_and_empty_files_of_two_commands(tmp_path, inputs, mask_model, kshot, capsys):
    damages = [d for d in DAMAGES if d.name in ("missing", "empty")]
    tried, wrong = sweep(
        tmp_path, inputs, mask_model, kshot, capsys, ("binarize", "pretrain"), damages
    )
    assert tried >= 16 and not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_damage_to_every_input(tmp_path, inputs, mask_model, kshot, capsys):
    began = time.monotonic()
    tried, wrong = sweep(tmp_path, inputs, mask_model, kshot, capsys)
    assert tried >= 200 and not wrong, "\n".join(wrong)
    report("every command", "a damaged file", began, inputs=tried, wrong=len(wrong))


def test_weights_that_are_no_numbers_are_refused_by_name(
    tmp_path, inputs, mask_model, kshot, capsys
):
    folder = prepared(tmp_path, inputs, mask_model, kshot)
    found = {case[0]: case for case in cases(folder, mask_model)}
    (checkpoint,) = (folder / "roberta").glob("*.pt")
    state = torch.load(checkpoint, weights_only=True)
    state["model"]["encoder.layers.0.ffn.fc1.weight"][0, 0] = float("nan")
    torch.save(state, checkpoint)
    for name in ("fewshot", "export-roberta", "cache-teacher"):
        _, run, argv, _, _ = found[name]
        status, said = run(argv, capsys)
        assert status == 1 and "nan" in said.lower(), (name, status, said)
