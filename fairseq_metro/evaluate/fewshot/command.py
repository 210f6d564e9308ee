"""The command ``fairseq-metro fewshot``: SMASH's few-shot protocol, and a single answer."""

import logging
import math
import os
import sys
from pathlib import Path

import torch

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.sources import bad_rows_limit
from fairseq_metro.evaluate.fewshot import options
from fairseq_metro.evaluate.fewshot.augmented import check_augmented
from fairseq_metro.evaluate.fewshot.cells import KD_AUGMENTED, MAJORITY, ROWS, TAUGHT
from fairseq_metro.evaluate.fewshot.grid import CELLS, CPU, Grid, plan, run
from fairseq_metro.evaluate.fewshot.report import summarize, write_tables
from fairseq_metro.evaluate.fewshot.scorers import WordScorer
from fairseq_metro.evaluate.fewshot.training import scores_of
from fairseq_metro.interchange.mask_models import load_mask_model
from fairseq_metro.smash.automatic import TEMPLATE, VERBALIZER, variants_of
from fairseq_metro.smash.regression import predicted_scores
from fairseq_metro.smash.splits import KShot, kshot_splits
from fairseq_metro.smash.tasks import load_task, steps_for
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples
from fairseq_metro.trainer.checkpoint_names import named_checkpoint
from fairseq_metro.vocabulary.characters import WARN, add_allow_unknown

logger = logging.getLogger(__name__)


@messages_on_stderr()
def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["predict"]:
        return predict_main(argv[1:])
    args = options.parser().parse_args(argv)
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


def _devices(requested):
    """Where runs are done: list of names. CUDA is left untouched here, as forks need it."""
    count = 0 if requested == CPU else torch.cuda.device_count()
    if requested == "cuda" and not count:
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
                raise UserError(f"{folder}: no such split; run fairseq-metro kshot")
            folders[name, k, seed] = folder
    return folders


def _variants(args, folders):
    """{(task's file, k, seed): folder} of the tasks with LM-BFF's automatic prompts of each split."""
    variants = {}
    for kind, source in ((TEMPLATE, args.auto_templates), (VERBALIZER, args.auto_words)):
        for (name, k, seed), folder in folders.items() if source else ():
            out = Path(args.out) / "prompts"
            for path in variants_of(name, kind, source, k, seed, args.best, out):
                variants[str(path), k, seed] = folder
    return variants


def predict_main(argv):
    """``predict``: the label of one example, and what each label's word is worth."""
    parser = CommandParser(prog="fairseq-metro fewshot predict", description=predict_main.__doc__)
    parser.add_argument("model", metavar="RUN", help="Run directory of a fewshot_prompt run.")
    parser.add_argument("--task", required=True, metavar="NAME", help="Few-shot task of the run.")
    parser.add_argument("--text", required=True, nargs="+", help="Sentences of the example.")
    add_allow_unknown(parser.add_argument)
    args = parser.parse_args(argv)
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
