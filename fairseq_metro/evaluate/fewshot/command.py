"""The command ``eval/fewshot.py``: SMASH's few-shot protocol, and a single answer."""

import argparse
import logging
import math
import os
import sys
from pathlib import Path

import torch

from fairseq_metro.checkpoint_names import named_checkpoint
from fairseq_metro.data.characters import WARN, add_allow_unknown
from fairseq_metro.errors import UserError
from fairseq_metro.evaluate.fewshot.augmented import check_augmented
from fairseq_metro.evaluate.fewshot.cells import KD_AUGMENTED, MAJORITY, ROWS, TAUGHT
from fairseq_metro.evaluate.fewshot.grid import CELLS, CPU, Grid, plan, run
from fairseq_metro.evaluate.fewshot.report import summarize, write_tables
from fairseq_metro.evaluate.fewshot.scorers import HEADS, PAPER, WordScorer
from fairseq_metro.evaluate.fewshot.training import scores_of
from fairseq_metro.interchange.mask_models import load_mask_model
from fairseq_metro.logs import messages_on_stderr
from fairseq_metro.smash.automatic import BEST, TEMPLATE, VERBALIZER, variants_of
from fairseq_metro.smash.regression import LOSSES, predicted_scores
from fairseq_metro.smash.splits import SEEDS, SHORT_LABELS, KShot, kshot_splits
from fairseq_metro.smash.tasks import load_task, steps_for, task_names
from fairseq_metro.sources import DEFAULT_LIMIT, add_max_bad_rows, bad_rows_limit
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples

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
        help="run folder, checkpoint or RUN@UPDATES of a RoBERTa or T5, or local Hugging Face "
        "folder")  # fmt: skip
    add("--tasks", metavar="FOLDER", help="original files; splits are made in OUT/kshot")
    add("--kshot", metavar="FOLDER", help="instead: splits that preprocess/kshot.py made")
    add("--task", nargs="+", required=True, metavar="NAME", help="few-shot tasks")
    add("--rows", nargs="+", choices=ROWS,
        help="default: all; head for RoBERTa only, kd and kd-augmented where --teacher and "
        "--augmented are given")  # fmt: skip
    add("--teacher", metavar="RUN",
        help="task KD (SMASH, equation 1): a model that is prompt-fine-tuned on each split first, "
        "over the same grid; its run best on dev gives soft labels over the label words, and the "
        "row kd adds their cross entropy to the loss of every training row")  # fmt: skip
    add("--kd-weight", type=float, default=1.0, help="of this cross entropy (default 1)")
    add("--kd-temperature", type=float, default=1.0,
        help="of both models in it; it is multiplied by the square (default 1)")  # fmt: skip
    add("--augmented", metavar="FILE",
        help="row kd-augmented: more rows, without labels, which the teacher answers: a .jsonl of "
        '{"sentences": [...]}, or the format of the task\'s originals; or a folder with '
        "<Task>/<K>-<seed>/augmented.*, or <Task>/augmented.* for all splits")  # fmt: skip
    add_max_bad_rows(
        add, "How many rows of an augmented file, or with --tasks of a train file, may be bad. They "
        f"are left out and counted; more end the command (default: {DEFAULT_LIMIT})."
    )  # fmt: skip
    add_allow_unknown(add)
    add("--k", type=int, nargs="+", default=[16], help="examples a label (default 16)")
    add("--seeds", type=int, nargs="+", default=list(SEEDS), help=f"default {SEEDS}")
    add("--lr", type=float, nargs="+", default=[1e-5, 2e-5, 5e-5], help="default 1e-5 2e-5 5e-5")
    add("--batch", type=int, nargs="+", default=[2, 4], help="default 2 4")
    add("--steps", type=int, help="updates (default: by K, 1000 for 16)")
    add("--every", type=int, default=100, help="updates between looks at dev (default 100)")
    add("--head", choices=HEADS, default=PAPER,
        help="Form of the row head: one matrix on <s> x0 </s> x1 </s> (paper), or LM-BFF's dense, "
        "tanh and output on <s> x0 </s> </s> x1 </s>, whose row is called 'head of LM-BFF' "
        "(lmbff).")  # fmt: skip
    add("--regression", choices=sorted(LOSSES), default="gold", help="loss of scores (gold)")
    add("--short-labels", choices=SHORT_LABELS, default=SHORT_LABELS[0],
        help="with --tasks: see preprocess/kshot.py")  # fmt: skip
    add("--auto-templates", metavar="FOLDER",
        help="LM-BFF's auto_template: each task is also run with the best templates of its split, "
        "FOLDER/<Task>/<K>-<seed>.sort.txt")  # fmt: skip
    add("--auto-words", metavar="FOLDER",
        help="LM-BFF's auto_label_mapping: the same with the best label words")  # fmt: skip
    add("--best", type=int, default=BEST, metavar="N",
        help="Number of automatic prompts of each kind (default: %(default)s).")  # fmt: skip
    add("--test-rows", type=int, default=0, help="most test rows, a seeded sample (default: all)")
    add("--device", choices=("cpu", "cuda"), help="default: the GPUs where there are any")
    add("--jobs", "--workers", type=int, metavar="N",
        help="runs at a time, over the GPUs in turn (default: one a core, or one a GPU)")  # fmt: skip
    add("--out", required=True, metavar="DIR", help="folder of the results")
    return found


@messages_on_stderr()
def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["predict"]:
        return predict_main(argv[1:])
    args = parser().parse_args(argv)
    check(args)
    args.model = [str(named_checkpoint(model)) for model in args.model]
    args.teacher = args.teacher and str(named_checkpoint(args.teacher))
    tasks = {name: load_task(name) for name in args.task}
    grid = Grid(
        lrs=tuple(args.lr), batches=tuple(args.batch), every=args.every,
        steps={k: args.steps or steps_for(k) for k in args.k},
        rows=args.rows and tuple(args.rows), test_rows=args.test_rows, regression=args.regression,
        teacher=args.teacher, kd_weight=args.kd_weight, kd_temperature=args.kd_temperature,
        augmented=args.augmented, head=args.head,
    )  # fmt: skip
    torch.set_num_threads(1)  # before anything is forked
    max_bad_rows = bad_rows_limit(args)
    folders, out = _folders(args, tasks, max_bad_rows), Path(args.out)
    folders |= _variants(args, folders)
    tasks |= {name: load_task(name) for name, _, _ in folders}
    cells = plan(grid, args.model, folders)
    for name, path in sorted({(c.task, c.augmented_file) for c in cells if c.augmented_file}):
        check_augmented(load_task(name), path, max_bad_rows)
    out.mkdir(parents=True, exist_ok=True)
    devices = _devices(args.device)
    jobs = args.jobs or (len(os.sched_getaffinity(0)) if devices == [CPU] else len(devices))
    results = run(cells, out / CELLS, jobs, devices, args.allow_unknown)
    write_tables(summarize(results, tasks), out)
    logger.info("%s", (out / "table.md").read_text("utf-8"))
    return 0


def check(args):
    """Raise :class:`UserError` for arguments that cannot be meant."""
    if bool(args.tasks) == bool(args.kshot):
        raise UserError("give --tasks (original files) or --kshot (splits that are there), one")
    if not args.model and set(args.rows or ROWS) != {MAJORITY}:
        raise UserError("--model is missing; only the row majority needs none")
    for name, least in (("jobs", 1), ("every", 1), ("test_rows", 0), ("best", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}: {least} or more")
    if min([*args.batch, args.steps if args.steps is not None else 1]) < 1 or min(args.lr) <= 0:
        raise UserError("--batch, --steps and --lr must be positive")
    _check_teaching(args)


def _check_teaching(args):
    taught = [row for row in TAUGHT if row in (args.rows or ())]
    if taught and not args.teacher:
        raise UserError(f"--rows {taught[0]}: give the model that teaches with --teacher")
    if KD_AUGMENTED in taught and not args.augmented:
        raise UserError(f"--rows {KD_AUGMENTED}: give the file of more rows with --augmented")
    if args.teacher and args.rows and not taught:
        raise UserError("--teacher is for the rows kd and kd-augmented; name one, or leave it out")
    if args.augmented and not (args.teacher and KD_AUGMENTED in (args.rows or TAUGHT)):
        raise UserError("--augmented is for the row kd-augmented, with --teacher; leave it out")
    changed = args.kd_weight != 1 or args.kd_temperature != 1
    if changed and not args.teacher:
        raise UserError("--kd-weight and --kd-temperature say nothing without --teacher")
    if not (0 < args.kd_weight < math.inf and 0 < args.kd_temperature < math.inf):
        raise UserError("--kd-weight and --kd-temperature must be positive")
    if args.augmented and Path(args.augmented).is_file() and len(args.task) > 1:
        raise UserError(
            f"--augmented {args.augmented}: one file for {len(args.task)} tasks; give a folder with "
            "<Task>/augmented.* for each"
        )


def _devices(wanted):
    """Where runs are done: list of names. CUDA is left untouched here, as forks need it."""
    count = 0 if wanted == CPU else torch.cuda.device_count()
    if wanted == "cuda" and not count:
        raise UserError("--device cuda: no GPU is seen here; leave it out")
    return [f"cuda:{number}" for number in range(count)] or [CPU]


def _folders(args, tasks, max_bad_rows):
    """{(task, k, seed): folder}, made from original files where those were given."""
    drawn, folders = [(k, seed) for k in args.k for seed in args.seeds], {}
    for name, task in tasks.items():
        if args.tasks:
            shots = [KShot(k, seed, short_labels=args.short_labels) for k, seed in drawn]
            made = kshot_splits(task, args.tasks, shots, Path(args.out) / "kshot", max_bad_rows)
        else:
            made = [Path(args.kshot) / task.folder / f"{k}-{seed}" for k, seed in drawn]
        for (k, seed), folder in zip(drawn, made, strict=True):
            if not folder.is_dir():
                raise UserError(f"{folder}: no such split; run preprocess/kshot.py")
            folders[name, k, seed] = folder
    return folders


def _variants(args, folders):
    """{(task's file, k, seed): folder} of the tasks with LM-BFF's automatic prompts of each split."""
    found = {}
    for kind, source in ((TEMPLATE, args.auto_templates), (VERBALIZER, args.auto_words)):
        for (name, k, seed), folder in folders.items() if source else ():
            out = Path(args.out) / "prompts"
            for path in variants_of(name, kind, source, k, seed, args.best, out):
                found[str(path), k, seed] = folder
    return found


def predict_main(argv):
    """``predict``: the label of one example, and what each label's word is worth."""
    found = argparse.ArgumentParser(prog="fewshot.py predict", description=predict_main.__doc__)
    found.add_argument("model", metavar="RUN", help="folder of a fewshot_prompt run")
    found.add_argument("--task", required=True, metavar="NAME", help="its few-shot task")
    found.add_argument("--text", required=True, nargs="+", help="the example's sentences")
    add_allow_unknown(found.add_argument)
    args = found.parse_args(argv)
    task = load_task(args.task)
    model, tok, decoder_input = load_mask_model(args.model)
    verbalizer = task.verbalizer(tok)
    prompt = task.build(args.text, tok)
    characters = tok.characters(args.text)
    characters.refuse("--text", args.allow_unknown)
    if characters.share > WARN:
        characters.report("--text", logger)
    example = PromptedExamples(
        [prompt.ids], [prompt.mask_position], [0], tok.pad, decoder_input=decoder_input
    )
    scores = scores_of(WordScorer(model, verbalizer.ids), example)
    shares = scores[0].float().softmax(-1).tolist()
    if task.is_regression:
        print(f"{float(predicted_scores(scores, *task.interval)):.3f}")
    else:
        print(task.labels[int(scores.argmax())])
    for label, word, share in zip(verbalizer.labels, verbalizer.words, shares, strict=True):
        print(f"  {label}\t{word}\t{share:.4f}")
    return 0
