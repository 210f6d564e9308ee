"""Prompt fine-tuning on small real sets: METRO-T5 and T5 of equal pretraining, held-in and held-out.

    python -m fairseq_metro.papers.prompt_finetuning --tasks DIR --seeds 1 2 \\
        --models metro=runs/small-metro-{seed} t5=runs/small-t5-{seed}

A model is NAME=RUN, a pretrained run's folder; ``{seed}`` in it stands for the cell's seed, which
also seeds the fine-tuning. A cell is NAME:SEED; ``--cells`` runs some of them, so that two commands
can share a machine. Data is built once for each vocabulary. Each finished cell is appended at once
to ``benchmarks/results/prompt_finetuning.jsonl`` and not run again; one whose model is not there, or
not pretrained to its end, is left for later. Writes ``benchmarks/results/prompt_finetuning.md`` and
``.png``. Templates are promptsource's, of the installed package or of ``--templates``.
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from fairseq_metro.analysis.log import read_log
from fairseq_metro.analysis.prompt_summary import read_scores, summarize
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.stamp import ROOT
from fairseq_metro.papers.prompt_finetuning_report import write_report
from fairseq_metro.prepare.starting_model import starting_model
from fairseq_metro.prompts.mixtures import load_mixture
from fairseq_metro.trainer.checkpoints import LAST, read_facts
from fairseq_metro.vocabulary.folder import Vocabulary

RESULTS = ROOT / "benchmarks" / "results" / "prompt_finetuning.jsonl"
COLA = "glue/cola"


def sh(*words, **environment):
    """Run a command in the clone. Raises :class:`UserError` where it fails."""
    words = [str(word) for word in words]
    status = subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}).returncode
    if status != 0:
        raise UserError(f"{' '.join(words[:3])} …: status {status}; the output above says why")


def build(vocabulary, args):
    """The mixture's prompted pairs in a vocabulary; what is there already is kept. Its folder."""
    data = args.work.resolve() / f"data-{vocabulary.hash[:12]}"
    templates = ["--templates", args.templates.resolve()] if args.templates else []
    sh(
        sys.executable, "-m", "fairseq_metro", "prompts", "--mixture", args.mixture,
        "--tasks", args.tasks.resolve(), *templates, "--vocab", vocabulary.path, "--dest", data,
        "--split", "train", "valid", "heldout", "--valid-rows", args.valid_rows,
        "--evaluation-overlap", "drop",
    )  # fmt: skip
    return data


def folder_of(name, seed, args):
    """A cell's own folder below ``--work``."""
    return args.work.resolve() / f"{name}-{seed}-{args.updates}"


def finetune(name, seed, model, arch, data, args):
    """Fine-tune one cell in a folder of its own; the folder."""
    folder = folder_of(name, seed, args)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data").exists():
        (folder / "data").symlink_to(data)
    if "| done training in" in _text(folder / "train.log"):
        return folder
    words = [
        "fairseq-train", folder / "data", "--user-dir", "fairseq_metro", "--init-from", model,
        "--task", "prompt_finetuning", "--criterion", "prompt_finetuning", "--arch", arch,
        "--dropout", 0, "--attention-dropout", 0, "--seed", seed, "--num-workers", 0,
        "--max-tokens", args.max_tokens, "--max-tokens-valid", 16384,
        "--valid-subset", "valid,heldout", "--optimizer", "fused_adam",
        "--adam-betas", "(0.9, 0.98)", "--adam-eps", 1e-6, "--weight-decay", 0.01,
        "--clip-norm", 2.0, "--lr", args.lr, "--lr-scheduler", "polynomial_decay",
        "--warmup-updates", args.updates * 6 // 100, "--total-num-update", args.updates,
        "--max-update", args.updates, "--save-dir", folder / "checkpoints",
        # Saved and validated at the end alone: a validation takes as long as 200 updates.
        "--save-interval-updates", args.updates, "--validate-interval-updates", args.updates,
        "--save-interval", 1000000, "--validate-interval", 1000000, "--no-epoch-checkpoints",
        "--log-format", "json", "--log-interval", 50, *args.options,
    ]  # fmt: skip
    progress = [sys.executable, "-m", "fairseq_metro.analysis.progress", "--every", 60]
    launch = ["bash", "train_scripts/launch.sh", 1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sh(*progress, "--log", folder / "train.log", "--", *launch, *words, PATH=path)
    return folder


def _text(path):
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def matthews(gold, predicted):
    """Matthews correlation of two classes (Warstadt et al. 2019 judge CoLA by it); 0 where undefined.

    >>> matthews([1, 1, 0, 0], [1, 1, 0, 0]), matthews([1, 1, 0], [1, 1, 1])
    (1.0, 0.0)
    """
    pairs = list(zip(gold, predicted, strict=True))
    tp, tn, fp, fn = (pairs.count(pair) for pair in ((1, 1), (0, 0), (0, 1), (1, 0)))
    below = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    return (tp * tn - fp * fn) / below if below else 0.0


def lines_of(indexed):
    """The lines of an ``IndexedTokens``: a list of arrays."""
    import numpy as np

    return np.split(np.asarray(indexed.tokens), np.cumsum(indexed.sizes)[:-1])


def cola_correlations(folder):
    """Matthews correlation on CoLA's validation rows by template: dict, empty without CoLA."""
    import numpy as np
    import torch

    import fairseq_metro
    from fairseq_metro.data.prompted_files import open_split
    from fairseq_metro.scoring import best, score_choices

    tasks = [t for t in open_split(folder / "data", "valid").tasks if t.dataset == COLA]
    predictor = fairseq_metro.load(folder / "checkpoints", device="cpu") if tasks else None
    correlations = {}
    for task in tasks:
        prefix, first = predictor.vocabulary.source_prefix, task.first_choice
        sources, choices = (
            [torch.from_numpy(line.astype(np.int64)) for line in lines_of(each)]
            for each in (task.source, task.choices)
        )
        scores = score_choices(
            predictor.model,
            [torch.cat((torch.tensor(prefix).long(), source)) for source in sources],
            [choices[first[row] : first[row + 1]] for row in range(task.rows)],
            pad=predictor.dictionary.pad(),
            decoder_start=predictor.decoder_start,
        )
        correlations[task.template] = matthews(task.gold[:, 1].tolist(), best(scores))
    return correlations


def run_cell(name, seed, run, args):
    """Fine-tune and evaluate one cell; its row, or None where the model is not ready."""
    try:
        model, arch = starting_model(run)
        facts = read_facts(model / LAST)
    except UserError as error:
        print(f"{name}:{seed}: left for later, {error}", flush=True)
        return None
    planned = facts["cfg"]["optimization"]["max_update"]
    if facts["num_updates"] < planned:
        print(f"{name}:{seed}: left for later, {run} has {facts['num_updates']} of {planned} "
              "updates", flush=True)  # fmt: skip
        return None
    data = build(Vocabulary.load(model / "vocab"), args)
    folder = finetune(name, seed, model, arch, data, args)
    sets, updates = read_scores(folder)
    summary = summarize(sets, updates, read_log(folder / "train.log"))
    for key in ("sets", "groups"):
        summary.pop(key)
    del summary["stamp"]["command"]  # it names folders of this machine
    row = {"model": name, "seed": seed, "arch": arch, "mixture": load_mixture(args.mixture).name}
    row |= {"pretraining_updates": facts["num_updates"], "max_tokens": args.max_tokens}
    row |= {"lr": args.lr, "cores": 1, **summary, "cola_mcc": cola_correlations(folder)}
    row["sets"] = [asdict(task_set) for task_set in sets]
    return row


def rows_of(path):
    """(mixture, updates, model, seed) -> row; later rows replace earlier ones."""
    rows = (json.loads(line) for line in _text(path).splitlines() if line)
    return {(row["mixture"], row["updates"], row["model"], row["seed"]): row for row in rows}


def models_of(words):
    """NAME -> run folder of ``NAME=RUN``. Raises :class:`UserError`."""
    models = dict(word.partition("=")[::2] for word in words)
    for name, run in models.items():
        if not name or not run:
            raise UserError(
                f"--models: {name}={run} must be NAME=RUN, such as metro=runs/quickstart"
            )
    return models


def cells_of(args, models):
    """(name, seed) of each cell to run. Raises :class:`UserError` for an unknown model."""
    if args.cells is None:
        return [(name, seed) for seed in args.seeds for name in models]
    cells = [word.partition(":")[::2] for word in args.cells]
    for name, seed in cells:
        if name not in models or not seed.isdecimal():
            raise UserError(
                f"--cells {name}:{seed}: must be NAME:SEED with a model of --models "
                f"({', '.join(models)})"
            )
    return [(name, int(seed)) for name, seed in cells]


def main(argv=None):
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--models", nargs="+", required=True, metavar="NAME=RUN")
    add("--tasks", type=Path, required=True, help="Folder of task files.")
    add("--seeds", type=int, nargs="+", default=[1, 2])
    add("--cells", nargs="+", metavar="NAME:SEED",
        help="Run only these cells (default: all models with all seeds).")  # fmt: skip
    add("--mixture", default="real-small")
    add("--templates", type=Path,
        help="Folder of promptsource's templates (default: the installed package).")  # fmt: skip
    add("--updates", type=int, default=1500)
    add("--max-tokens", type=int, default=4096,
        help="Maximum number of source tokens in an update.")  # fmt: skip
    add("--lr", type=float, default=1e-3)
    add("--valid-rows", type=int, default=500,
        help="Maximum number of validation rows of a held-in set under each "
             "template.")  # fmt: skip
    add("--options", nargs=argparse.REMAINDER, default=[],
        help="Options of fairseq-train; must come last.")  # fmt: skip
    add("--work", type=Path, default=ROOT / "runs" / "prompt_finetuning")
    add("--json", type=Path, default=RESULTS)
    add("--keep", action="store_true", help="Keep the folders of the cells.")
    args = parser.parse_args(argv)
    if not args.tasks.is_dir():
        raise UserError(f"--tasks {args.tasks}: no such folder")
    models = models_of(args.models)
    kind = load_mixture(args.mixture).name, args.updates
    for name, seed in cells_of(args, models):
        if (*kind, name, seed) in rows_of(args.json):
            print(f"{name}:{seed}: measured already, in {args.json}", flush=True)
            continue
        row = run_cell(name, seed, models[name].replace("{seed}", str(seed)), args)
        if row is not None:
            with open(args.json, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            if not args.keep:
                shutil.rmtree(folder_of(name, seed, args))
    rows = [row for key, row in rows_of(args.json).items() if key[:2] == kind]
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    if rows:
        print(write_report(rows, args.json))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # What hydra and torch say about fairseq's own code at every start is no concern of this run's.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning,ignore::UserWarning")
    raise SystemExit(run_command(main))
