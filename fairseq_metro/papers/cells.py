"""Run each kind of step of a reproduction; interrupted steps resume."""

import csv
import dataclasses
import os
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.common.stamp import ROOT
from fairseq_metro.papers.checks import run_check
from fairseq_metro.papers.commands import VARIABLES, environment_of, filled
from fairseq_metro.papers.mixtures import changed_mixture
from fairseq_metro.papers.pretraining import prepare, run_cell, sh
from fairseq_metro.papers.prompt_finetuning import folder_of
from fairseq_metro.papers.prompt_finetuning import run_cell as finetune_cell
from fairseq_metro.papers.shared_spans import evaluate
from fairseq_metro.papers.targets import finetuning
from fairseq_metro.trainer.checkpoints import LAST, read_facts

MEASURED = ROOT / "benchmarks" / "results" / "reproduction.jsonl"  # what this project found
COMPUTE = "metro-equal-compute"
# One GPU: base's model, 65,536 tokens an update.
GPU = ("--max-tokens", 16384, "--update-freq", 4, "--bf16", "--dropout", 0.1)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a reproduction is run. text, tasks: folders of real text and task files, or None;
    templates: promptsource's, or None for the installed; work: for runs; out: the file of results."""

    work: Path
    out: Path
    text: Path | None = None
    tasks: Path | None = None
    templates: Path | None = None
    processes: int = 1
    blocks: int | None = None
    small: bool = True  # lower-cased 2,000 pieces; else 8,000, for a GPU
    updates: int | None = None  # of fine-tuning, for tests

    def need(self, name):
        """Return a folder that a step requires. Raises :class:`UserError`."""
        folder = getattr(self, name)
        if folder is None or not folder.is_dir():
            what = {"text": "text files", "tasks": "task files"}[name]
            variable = name.upper()
            raise UserError(f"{variable}={folder or ''}: no such folder; set it to that of {what}")
        return folder.resolve()


def run_folder(fields, place):
    """The folder in which a model is pretrained."""
    variant = fields["variant"].replace(COMPUTE, "metro")
    parent = place.work / "pretraining" / str(fields["updates"])
    return parent / f"{fields['arch']}-{variant}-{fields['seed']}"


def is_pretrained(fields, place):
    """Whether the model of a step exists and is fully trained."""
    last = run_folder(fields, place) / LAST
    return last.exists() and read_facts(last)["num_updates"] >= fields["updates"]


def pretrain(fields, place):
    data = prepare(place.need("text"), place.work / "text", 2000 if place.small else 8000, 1000)
    folder = run_folder(fields, place)
    args = Namespace(arch=fields["arch"], updates=fields["updates"], processes=place.processes)
    more = () if fields["arch"] in ("tiny", "small") else GPU
    return run_cell(fields["variant"].replace(COMPUTE, "metro"), fields["seed"], data, folder.parent,
                    args, more)  # fmt: skip


def _finetuning_args(fields, place):
    settings, names = finetuning(fields["finetuning"].split("+")[-1]), fields["finetuning"]
    work = place.work / "finetuning" / f"{fields['arch']}-{fields['updates']}-{names}"
    work.mkdir(parents=True, exist_ok=True)
    mixture, templates = changed_mixture(settings, work, place.templates)
    soft = settings.get("soft_prompt")
    return Namespace(
        tasks=place.need("tasks"), templates=templates, mixture=mixture, work=work, valid_rows=500,
        updates=place.updates or settings["updates"], max_tokens=settings["max_tokens"],
        lr=settings["lr"], options=["--soft-prompt-tokens", soft] if soft else [],
    )  # fmt: skip


def tuned_folder(fields, place):
    """The folder in which a model is fine-tuned."""
    return folder_of(fields["variant"], fields["seed"], _finetuning_args(fields, place))


def finetune(fields, place):
    before, _, _ = fields["finetuning"].rpartition("+")
    first = tuned_folder({**fields, "finetuning": before}, place) if before else None
    run = first or run_folder(fields, place)
    row = finetune_cell(fields["variant"], fields["seed"], run, _finetuning_args(fields, place))
    if row is None:
        raise UserError(f"{run}: is not trained to its end; run the same command again")
    return row


def spans(fields, place):
    text = place.need("text") / "wikitext2.test.txt"
    return {"patterns": evaluate(run_folder(fields, place), text, limit=place.blocks)}


def evaluate_step(fields, place):
    """Rank classification of a tuned model on FLAN's suite, as far as its files are there."""
    run, shots = tuned_folder(fields, place), fields["shots"]
    out = run / f"evaluated-{shots}"
    sh(
        sys.executable, "-m", "fairseq_metro", "evaluate", run, "--suite", "flan", "--tasks",
        place.need("tasks"), "--sets", "super_glue/rte", "super_glue/cb", "--limit", 200, "--shots",
        shots, "--out", out, "--device", "cpu",
        *(["--templates", place.templates.resolve()] if place.templates else []),
    )  # fmt: skip
    return {"evaluated": read_json(out / "summary.json")["suites"][0]["mean"]}


def stage(fields, place):
    """A stage of the SMASH study, which keeps what is finished; distillations are cells too."""
    began = time.time()
    sh(
        sys.executable, "-m", "fairseq_metro.papers.smash.study", fields["stage"],
        "--text", place.need("text"), "--tasks", place.need("tasks"),
        "--work", place.work / "smash", "--curves", curves_file(place),
    )  # fmt: skip
    return {"minutes": round((time.time() - began) / 60, 2)}


def fewshot(fields, place):
    """Few-shot runs of one task, appended one by one beside the file of results."""
    from fairseq_metro.evaluate.fewshot.grid import plan
    from fairseq_metro.papers.smash import fewshot as smash_fewshot
    from fairseq_metro.papers.smash.study import smash_of
    from fairseq_metro.smash.splits import kshot_split
    from fairseq_metro.smash.tasks import load_task

    originals, path = place.need("tasks"), fewshot_file(place).resolve()
    names = [fields["task"], *(_variants(fields["task"], place) if fields["variants"] else [])]
    with smash_fewshot.standing_in(place.work / "smash"):
        ran = 0
        for name in names:
            smash = smash_of(fields["task"])
            if fields["k"] == smash_fewshot.K and name == fields["task"]:
                cells = smash_fewshot.table_cells(
                    name, smash, originals, fields["seeds"], fields["models"]
                )
            else:
                task, k = load_task(name), fields["k"]
                # The same rows for every template: but a folder's stamp tells of one task.
                root = "kshot" if name == fields["task"] else f"kshot-{Path(name).stem}"
                folders = {
                    (name, k, seed): kshot_split(task, originals, k, seed, root, short_labels="halve")
                    for seed in fields["seeds"]
                }  # fmt: skip
                grid = dataclasses.replace(
                    smash_fewshot.GRID, rows=("prompt",), steps={k: 60 * k // smash_fewshot.K}
                )
                places = {"smash": smash}
                cells = plan(
                    grid, [places.get(model, model) for model in fields["models"]], folders
                )
            ran += smash_fewshot.run_cells(cells, path)
    return {"cells": ran}


def fewshot_file(place):
    """The folder of the few-shot runs of a results file."""
    return place.out.with_name(f"{place.out.stem}_fewshot.jsonl")


def curves_file(place):
    """Where figure 2's few-shot runs stand; this project's own are an earlier experiment's."""
    from fairseq_metro.papers.smash.study import CURVES

    return (
        CURVES if place.out == MEASURED else place.out.with_name(f"{place.out.stem}_curves.jsonl")
    )


OTHERS = {  # template, label words: with words that every vocabulary of the SMASH study has
    "template-1": ("*cls**sent_0*_This_was*mask*.*sep+*", None),
    "verbalizer-1": (None, {"0": "bad", "1": "good"}),
}


def _variants(task, place):
    """Files of the task with another template, and with other label words (figure 3), beside the
    models: their names."""
    from importlib.resources import files

    entry = yaml.safe_load(
        files("fairseq_metro.smash").joinpath("tasks", f"{task}.yaml").read_text("utf-8")
    )
    for name, (template, words) in OTHERS.items():
        path = place.work / "smash" / f"{task}-{name}.yaml"
        changed = {
            **entry,
            "template": template or entry["template"],
            "words": words or entry["words"],
        }
        path.write_text(yaml.safe_dump(changed, sort_keys=False), "utf-8")
        yield path.name  # of the folder one stands in: rows name no folder of this machine


def check(fields, place):
    lines = run_check(fields["check"], ROOT)
    return {"lines": [[what, value, paper] for what, value, paper in lines]}


def command(fields, place, words):
    """A command of the original, its $VARIABLES from the environment.

    The result: its minutes, the mean of an evaluation, and what a figure's csv says of each run.
    """
    began, values = time.time(), variables(place)
    text = words.filled(values)
    status = subprocess.run(text, cwd=ROOT, env=environment_of(os.environ)).returncode
    if status != 0:
        raise UserError(f"{' '.join(text[:4])} …: status {status}; the output above says why")
    result = {"minutes": round((time.time() - began) / 60, 2)}
    if "out" in fields:
        summary = read_json(Path(filled([fields["out"]], values)[0]) / "summary.json")
        result["evaluated"] = summary["suites"][0]["mean"]
    if "outcome" in fields:
        table = Path(filled([fields["picture"]], values)[0]).with_suffix(".csv")
        result["curves"] = curves_of(table, fields["outcome"])
    return result


COLUMNS = {
    "neurons": "share",
    "sensitivity": "std",
}  # of a figure's csv, where the outcome's name is not


def curves_of(table, outcome):
    """{label of a run: [[update, value], ...]} of a figure's csv, validations before training."""
    with open(table, encoding="utf-8", newline="") as stream:
        lines = [line for line in csv.DictReader(stream)
                 if {line.get("stack", "all"), line.get("layer", "all")} == {"all"}]  # fmt: skip
    curves = {}
    for line in lines:
        points = curves.setdefault(line["run"], {}).setdefault(line.get("split", "valid"), {})
        points[int(line["update"])] = float(line[COLUMNS.get(outcome, outcome)])
    return {run: list(map(list, of.get("valid", of.get("train", {})).items()))
            for run, of in curves.items()}  # fmt: skip


def variables(place):
    """{name: value} of what commands of the original name; TASKS and so on as absolute paths."""
    known = {name: os.environ.get(name, "") for name in VARIABLES}
    known |= {"WORK": str(place.work.resolve()), "PROCESSES": str(place.processes)}
    for name in ("text", "tasks", "templates"):
        folder = getattr(place, name)
        known[name.upper()] = str(folder.resolve()) if folder else known[name.upper()]
    return known


KINDS = {"pretrain": pretrain, "finetune": finetune, "spans": spans, "evaluate": evaluate_step,
         "stage": stage, "fewshot": fewshot, "check": check}  # fmt: skip


def run_step(step, place):
    """Run a step and return its result, a dict for the results file."""
    if step.kind == "command":
        return command(step.fields, place, step.command)
    return KINDS[step.kind](step.fields, place)
