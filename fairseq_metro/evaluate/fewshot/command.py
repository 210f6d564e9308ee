"""The command ``eval/fewshot.py``: SMASH's few-shot protocol, and a single answer."""

import argparse
import logging
import os
import sys
from pathlib import Path

import torch

from fairseq_metro.errors import UserError
from fairseq_metro.evaluate.fewshot.cells import ROWS
from fairseq_metro.evaluate.fewshot.grid import CELLS, plan, run
from fairseq_metro.evaluate.fewshot.report import summarize, write_tables
from fairseq_metro.evaluate.fewshot.scorers import WordScorer
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.smash.regression import LOSSES, predicted_scores
from fairseq_metro.smash.splits import SEEDS, SHORT_LABELS, kshot_split
from fairseq_metro.smash.tasks import load_task, steps_for, task_names

logger = logging.getLogger(__name__)


def parser():
    """The grid's arguments."""
    found = argparse.ArgumentParser(
        description="Few-shot fine-tuning over models, tasks, splits and a grid. Each finished run "
        "is a line of OUT/cells.jsonl, and the same command goes on where it was stopped; "
        "OUT/table.md and table.csv are written at the end.",
        epilog="a single answer: eval/fewshot.py predict RUN --task sst2 --text TEXT [TEXT]; "
        f"few-shot tasks: {', '.join(task_names())}, or a YAML file",
    )
    add = found.add_argument
    add("--model", nargs="+", action="extend", default=[], metavar="RUN",
        help="run folder or checkpoint of roberta_mlm, or local Hugging Face folder")  # fmt: skip
    add("--tasks", metavar="FOLDER", help="original files; splits are made in OUT/kshot")
    add("--kshot", metavar="FOLDER", help="instead: splits that preprocess/kshot.py made")
    add("--task", nargs="+", required=True, metavar="NAME", help="few-shot tasks")
    add("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="default: all")
    add("--k", type=int, nargs="+", default=[16], help="examples a label (default 16)")
    add("--seeds", type=int, nargs="+", default=list(SEEDS), help=f"default {SEEDS}")
    add("--lr", type=float, nargs="+", default=[1e-5, 2e-5, 5e-5], help="default 1e-5 2e-5 5e-5")
    add("--batch", type=int, nargs="+", default=[2, 4], help="default 2 4")
    add("--steps", type=int, help="updates (default: by K, 1000 for 16)")
    add("--every", type=int, default=100, help="updates between looks at dev (default 100)")
    add("--regression", choices=sorted(LOSSES), default="gold", help="loss of scores (gold)")
    add("--short-labels", choices=SHORT_LABELS, default=SHORT_LABELS[0],
        help="with --tasks: see preprocess/kshot.py")  # fmt: skip
    add("--test-rows", type=int, default=0, help="most test rows, a seeded sample (default: all)")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="default: the cores")
    add("--out", required=True, metavar="DIR", help="folder of the results")
    return found


def main(argv=None):
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["predict"]:
        return predict_main(argv[1:])
    args = parser().parse_args(argv)
    _check(args)
    tasks = {name: load_task(name) for name in args.task}
    steps = {k: args.steps or steps_for(k) for k in args.k}
    torch.set_num_threads(1)  # before anything is forked
    cells = plan(
        args.rows, args.model, _folders(args, tasks), args.lr, args.batch, steps, args.every,
        args.test_rows, args.regression,
    )  # fmt: skip
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    results = run(cells, out / CELLS, args.workers)
    write_tables(summarize(results, tasks), out)
    logger.info("%s", (out / "table.md").read_text("utf-8"))
    return 0


def _check(args):
    if bool(args.tasks) == bool(args.kshot):
        raise UserError("give --tasks (original files) or --kshot (splits that are there), one")
    if not args.model and set(args.rows) != {"majority"}:
        raise UserError("--model is missing; only the row majority needs none")
    for name, least in (("workers", 1), ("every", 1), ("test_rows", 0)):
        if getattr(args, name) < least:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(args, name)}: {least} or more")
    if min([*args.batch, args.steps if args.steps is not None else 1]) < 1 or min(args.lr) <= 0:
        raise UserError("--batch, --steps and --lr must be positive")


def _folders(args, tasks):
    """{(task, k, seed): folder}, made from original files where those were given."""
    found = {}
    for name, task in tasks.items():
        for k in args.k:
            for seed in args.seeds:
                if args.tasks:
                    made = Path(args.out) / "kshot"
                    folder = kshot_split(
                        task, args.tasks, k, seed, made, short_labels=args.short_labels
                    )
                else:
                    folder = Path(args.kshot) / task.folder / f"{k}-{seed}"
                    if not folder.is_dir():
                        raise UserError(f"{folder}: no such split; run preprocess/kshot.py")
                found[name, k, seed] = folder
    return found


def predict_main(argv):
    """``predict``: the label of one example, and what each label's word is worth."""
    found = argparse.ArgumentParser(prog="fewshot.py predict", description=predict_main.__doc__)
    found.add_argument("model", metavar="RUN", help="folder of a fewshot_prompt run")
    found.add_argument("--task", required=True, metavar="NAME", help="its few-shot task")
    found.add_argument("--text", required=True, nargs="+", help="the example's sentences")
    args = found.parse_args(argv)
    task = load_task(args.task)
    model, tok = load_roberta(args.model)
    verbalizer = task.verbalizer(tok)
    prompt = task.build(args.text, tok)
    scorer = WordScorer(model, verbalizer.ids).eval()
    with torch.no_grad():
        scores = scorer(torch.tensor([prompt.ids]), torch.tensor([prompt.mask_position]))
    shares = scores[0].float().softmax(-1).tolist()
    if task.is_regression:
        print(f"{float(predicted_scores(scores, *task.interval)):.3f}")
    else:
        print(task.labels[int(scores.argmax())])
    for label, word, share in zip(verbalizer.labels, verbalizer.words, shares, strict=True):
        print(f"  {label}\t{word}\t{share:.4f}")
    return 0
