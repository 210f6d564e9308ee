"""What a reader of the documentation has at hand: a clone, texts, task files, runs; all small."""

import gzip
import random
import shutil
import sys
from pathlib import Path

from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.prepare import binarize
from tests import fewshot
from tests.analysis.figures import samples as figure_samples
from tests.evaluate.fakes import write_rows
from tests.interchange import roberta_folders, t5_folders
from tests.tasks.conftest import story
from tests.training import ROOT, SIZES, call, command

FOLDERS = "train_scripts preprocess eval benchmarks".split()
SENTENCES = {"glue/sst2": ("sentence",), "super_glue/rte": ("premise", "hypothesis")}


def clone(folder):
    """A clone whose environment is the one that runs the tests."""
    folder.mkdir(parents=True)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("fairseq_metro", "tests"):
        (folder / name).symlink_to(ROOT / name)
    environment = f'export PATH="{Path(sys.executable).parent}:$PATH" OMP_NUM_THREADS=1\n'
    (folder / "train_scripts" / "environment.sh").write_text(environment)
    program = folder / "programs" / "fairseq-metro"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fairseq_metro "$@"\n')
    program.chmod(0o755)
    return folder


def write_texts(place):
    """Every text file that a page names."""
    rng = random.Random(1)
    for name in ("books/one.txt", "books/two.txt", "text/one.txt", "text/two.txt", "a.txt",
                 "held_out.txt", "wiki/one.txt", "wiki/two.txt", "wiki.txt"):  # fmt: skip
        path = place / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(_documents(rng, 60), "utf-8")
    for name in ("news.txt.gz", "b.txt.gz"):
        with gzip.open(place / name, "wt", encoding="utf-8") as stream:
            stream.write(_documents(rng, 60))
    (place / "questions.txt").write_text("Is water wet?\nIs fire cold?\n", "utf-8")
    lines = [f"{i}\t{story(rng, 3)}\tTitle {i}".replace("\n", " ") for i in range(50)]
    (place / "wiki.tsv").write_text("\n".join(["id\ttext\ttitle", *lines]) + "\n", "utf-8")


def _documents(rng, count):
    """Documents of made-up sentences with names in them, so that there are pieces enough."""
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    return "\n\n".join(
        "\n".join(f"{''.join(rng.choices(syllables, k=4)).capitalize()} says: {story(rng, 1)}"
                  for _ in range(rng.randint(4, 9))) for _ in range(count)
    ) + "\n"  # fmt: skip


def write_tasks(folder):
    """Rows of SST-2, RTE, CB and MMLU in Hugging Face's form, and the few-shot tasks' own files."""
    rng = random.Random(2)
    for name, columns in SENTENCES.items():
        for split, count in (("train", 40), ("validation", 277 if "rte" in name else 30)):
            rows = [{**{one: story(rng, 1) for one in columns}, "label": i % 2, "idx": i}
                    for i in range(count)]  # fmt: skip
            write_rows(folder, name, rows, split)
    for split, count in (("train", 20), ("validation", 56)):
        rows = [{"premise": story(rng, 1), "hypothesis": story(rng, 1), "label": i % 3, "idx": i}
                for i in range(count)]  # fmt: skip
        write_rows(folder, "super_glue/cb", rows, split)
    sizes = dict(load_suite("mmlu").sets[0].group_rows)
    questions = [
        {"question": story(rng, 1), "choices": [story(rng, 1) for _ in range(4)],
         "answer": rng.randrange(4), "subject": subject}
        for subject, count in sizes.items() for _ in range(count)
    ]  # fmt: skip
    write_rows(folder, "mmlu", questions)
    fewshot.write_originals(folder, rows=200)
    fewshot.write_automatic_prompts(folder.with_name("LM-BFF"))
    header = "index\tsentence1\tsentence2\tlabel"
    (folder / "RTE").mkdir()
    for name, count in (("train", 200), ("dev", 11)):
        lines = [f"{i}\t{story(rng, 1)}\t{story(rng, 1)}\t{('not_entailment', 'entailment')[i % 2]}"
                 for i in range(count)]  # fmt: skip
        (folder / "RTE" / f"{name}.tsv").write_text("\n".join([header, *lines]) + "\n", "utf-8")


def write_models(shelf):
    """``vocab``, ``data-bin/mine``, and runs and Hugging Face folders by the names the pages use."""
    shutil.copytree(fewshot.vocabulary(), shelf / "vocab")
    words = ["--vocab", shelf / "vocab", "--train", shelf / "text/one.txt", "--workers", "1",
             "--valid", shelf / "held_out.txt", "--dest", shelf / "data-bin/mine"]  # fmt: skip
    assert not binarize.main([*map(str, words)])
    data = shelf / "data-bin" / "mine"
    for name, options in RUNS.items():
        run = shelf / "runs" / name
        words = [
            word for word in command(data, run, "--max-update=2", *options) if word not in SIZES
        ]
        if name == "t5":
            words = [T5.get(word, word) for word in words]
        log = call("train", words)
        lines = [f"2026-01-31 04:00:0{min(i, 9)} | INFO | {name} | {text}"
                 for i, (name, text) in enumerate(log.records)]  # fmt: skip
        (run / "train.log").write_text("\n".join(lines) + "\n", "utf-8")
    for name in ("mine", "quickstart_prompts"):
        shutil.copytree(shelf / "runs/metro", shelf / "runs" / name)
    for seed, name in enumerate(("student", "teacher", "smash")):
        fewshot.write_model(shelf / "runs" / name, seed)
    for name in ("t5-small", "t5-large"):
        t5_folders.write_folder(shelf / "models" / name)
    for name in ("distilroberta", "roberta-base", "roberta-large"):
        roberta_folders.write_folder(shelf / "models" / name)


def write_results(place):
    """Results of evaluations, as if ``eval/run.sh`` had written them."""
    names = ("eval/metro", "eval/t5", "eval/t0_3b", "eval/metro-500k", "eval/metro-1m",
             "eval/t5-500k", "eval/t5-1m", "results/a", "results/b")  # fmt: skip
    for i, name in enumerate(names):
        values = {"super_glue/rte": {"first": 0.5 + i / 50, "second": 0.6 - i / 50},
                  "super_glue/cb": {"first": 0.3 + i / 50, "second": 0.4}}  # fmt: skip
        figure_samples.results(place / name, values)


def write_settings(place, page):
    """``demo.yaml`` and ``flan.yaml``, small mixtures, and ``mine.yaml``: a suite where the page
    evaluates."""
    (place / "demo.yaml").write_text(MIXTURE.format(name="demo"))
    (place / "flan.yaml").write_text(FLAN)
    (place / "mine.yaml").write_text(SUITE if page == "evaluate" else MIXTURE.format(name="mine"))


MIXTURE = """
version: 1
name: {name}
rule: metro
cap: 30
sets:
  - glue/sst2
heldout:
  - {{dataset: super_glue/cb, cluster: nli}}
"""
FLAN = """
version: 1
name: flan
rule: flan
options: true
sets:
  - {dataset: glue/sst2, cluster: sentiment}
  - {dataset: super_glue/rte, cluster: nli}
"""
SUITE = """
version: 1
name: mine
title: Mine
sets:
  - {dataset: super_glue/rte, label: RTE}
"""
RUNS = {
    "metro": [],
    "rtd-decoder": ["--rtd-on=decoder"],
    "rtd-decoder-clip": ["--rtd-on=decoder", "--clip-norm=0.1"],
    "rtd-decoder-projection": ["--rtd-on=decoder", "--clm-head=projection"],
    "span": ["--mask-pattern=span"],
    "t5": [],
}
T5 = {"--task=metro_t5": "--task=t5", "--criterion=metro_t5": "--criterion=t5",
      "--arch=metro_t5_tiny": "--arch=t5_transformer_tiny"}  # fmt: skip
