"""Compare METRO-T5 with T5 by the preregistered outcomes, from existing runs.

    python -m fairseq_metro.papers.pair --models metro=runs/metro-{seed} t5=runs/t5-{seed} \\
        --seeds 1 2 3 --text wikitext2.test.txt

Primary: the mean of SST-2, Subj, TREC and CoLA after prompt fine-tuning, read from the rows of
``--rows`` (fairseq_metro/papers/prompt_finetuning.py writes them), or from folders of fine-tuning
(``--finetuned metro=DIR t5=DIR``), where CoLA is scored anew; at equal compute, from the file of
fairseq_metro/papers/reproduction.py beside the report. Secondary: accuracy on the masked
tokens that both targets hold, over ``--text``; each finished line is appended at once to
``reproduction_spans.jsonl`` and not computed again. Writes ``reproduction.md`` and ``.png``.
"""

import json
from dataclasses import asdict
from pathlib import Path

from fairseq_metro.analysis.prompt_summary import read_scores
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import atomic_write
from fairseq_metro.common.logs import quieted
from fairseq_metro.common.stamp import ROOT
from fairseq_metro.inference.loading import find_checkpoint, open_checkpoint
from fairseq_metro.papers.prompt_finetuning import RESULTS as FINETUNED
from fairseq_metro.papers.prompt_finetuning import cola_correlations, models_of
from fairseq_metro.papers.report import COMPUTE, pair_report
from fairseq_metro.papers.shared_spans import evaluate
from fairseq_metro.recipes.costs import flops_per_token

OUT = ROOT / "benchmarks" / "results" / "reproduction.md"
PAIR = ("metro", "t5")


def lines_of(path):
    """The rows of a file of JSON lines: list of dicts, [] where there is none."""
    path = Path(path)
    text = path.read_text("utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line]


def append(path, row):
    """Append a row to a file of JSON lines, at once."""
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def finetuned_rows(args):
    """Rows with ``model``, ``seed``, ``sets``, ``cola_mcc`` of the two models and the seeds, and of
    METRO-T5 at equal compute as far as it is there."""
    if args.finetuned is None:
        kind = ("real-sentences" if args.mixture is None else args.mixture, args.updates)
        # At equal compute: fairseq_metro/papers/reproduction.py's, whose file lies beside the report.
        steps = [row["result"] for row in lines_of(args.out.with_suffix(".jsonl"))
                 if row["kind"] == "finetune" and row["variant"] == COMPUTE]  # fmt: skip
        rows = [row for row in [*lines_of(args.rows), *steps]
                if (row["mixture"], row["updates"]) == kind]  # fmt: skip
        by_cell = {(row["model"], row["seed"]): row for row in rows}
        return [row for (model, seed), row in by_cell.items()
                if model in (*PAIR, COMPUTE) and seed in args.seeds]  # fmt: skip
    rows = []
    for model, folder in models_of(args.finetuned).items():
        for seed in args.seeds:
            run = Path(folder.replace("{seed}", str(seed)))
            if not run.is_dir():
                print(f"{model}:{seed}: no {run}, left out", flush=True)
                continue
            sets, updates = read_scores(run)
            rows.append({"model": model, "seed": seed, "updates": updates,
                         "cola_mcc": cola_correlations(run),
                         "sets": [asdict(task_set) for task_set in sets]})  # fmt: skip
    return rows


def span_rows(args):
    """The secondary outcome's rows of every run that is there; new ones are appended to the file."""
    path = args.out.with_name(f"{args.out.stem}_spans.jsonl")
    for model, folder in models_of(args.models or []).items():
        for seed in args.seeds:
            known = {(row["model"], row["seed"]) for row in lines_of(path)}
            run = Path(folder.replace("{seed}", str(seed)))
            if (model, seed) in known:
                continue
            try:
                with quieted("fairseq", "fairseq_metro"):
                    rows = evaluate(run, args.text, limit=args.blocks)
            except UserError as error:
                print(f"{model}:{seed}: left out, {error}", flush=True)
                continue
            for row in rows:
                append(path, {"model": model, **row, "seed": seed, "flops": flops_of(run)})
                print(f"{model}:{seed} {row['pattern']}: {row['accuracy']:.2%}", flush=True)
    return [row for row in lines_of(path) if row["seed"] in args.seeds]


def flops_of(run):
    """Training FLOPs for a token of a run's text."""
    cfg, task, _, _ = open_checkpoint(find_checkpoint(run))
    return flops_per_token(
        cfg.task._name, cfg.model, cfg.task.tokens_per_sample, len(task.source_dictionary),
        mask_prob=cfg.task.mask_prob,
    )  # fmt: skip


def main(argv=None):
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add(
        "--models",
        nargs="+",
        metavar="NAME=RUN",
        help="Pretrained runs of metro and t5; {seed} in a path is replaced by the seed.",
    )
    add("--seeds", type=int, nargs="+", default=[1, 2, 3])
    add("--text", type=Path, help="Held-out text for the secondary outcome.")
    add("--blocks", type=int, metavar="N", help="Use only the first N blocks of the held-out text.")
    add("--rows", type=Path, default=FINETUNED,
        help="File of fine-tuning results (default: those in benchmarks/results).")  # fmt: skip
    add("--mixture", help="Mixture whose fine-tuning results are read (default: real-sentences).")
    add("--updates", type=int, default=3000,
        help="Number of fine-tuning updates whose results are read (default: 3000).")  # fmt: skip
    add("--finetuned", nargs="+", metavar="NAME=DIR",
        help="Fine-tuned run directories to read instead of --rows.")  # fmt: skip
    add("--out", type=Path, default=OUT,
        help="Report to write (default: benchmarks/results/reproduction.md).")  # fmt: skip
    args = parser.parse_args(argv)
    if unknown := set(models_of([*(args.models or []), *(args.finetuned or [])])) - set(PAIR):
        raise UserError(f"--models: {', '.join(sorted(unknown))} is neither metro nor t5")
    if args.models and not args.text:
        raise UserError("--models needs --text FILE, the held-out text of the secondary outcome")
    rows, spans = finetuned_rows(args), span_rows(args)
    if not rows and not spans:
        raise UserError(
            f"{args.rows}: no row of metro or t5 with seeds {args.seeds}; train them first"
        )
    text = pair_report(rows, spans, args.out.with_suffix(".png"))
    with atomic_write(args.out) as stream:
        stream.write(text)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
