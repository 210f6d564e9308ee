"""Pretraining on real text: METRO-T5, its T5 baseline and Table 4's rows, at equal updates.

    python -m fairseq_metro.papers.pretraining --text DIR --cells metro:1 t5:1 span:1

DIR holds the training text (``*.txt`` and ``books/*.txt``); ``wikitext2.valid.txt`` in it is the
held-out text, its first ``--valid-lines`` lines, and ``wikitext2.test.txt`` is never read. A cell is
VARIANT:SEED. Each finished cell is appended at once to ``benchmarks/results/pretraining.jsonl`` and
is not run again; one that was interrupted goes on from its checkpoint. The table is written to
``benchmarks/results/pretraining.md``.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from fairseq_metro.analysis.log import read_log
from fairseq_metro.analysis.summary import summarize
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import atomic_write
from fairseq_metro.common.stamp import ROOT
from fairseq_metro.papers.variants import OPTIONS, script_of

RESULTS = ROOT / "benchmarks" / "results" / "pretraining.jsonl"
VARIANTS = ("metro", "t5", *OPTIONS)
SHOWN = (
    "mlm_loss rtd_loss clm_loss mlm_accuracy clm_accuracy_replaced clm_accuracy_unreplaced "
    "unigram_accuracy rtd_auc rtd_recall replace_rate_masked lm_loss lm_accuracy"
).split()

MEANS = "mlm_loss clm_loss clm_accuracy_replaced rtd_auc lm_loss lm_accuracy".split()
ABOUT = """Books, news, speeches and film reviews (12 million tokens of 2,000 lower-cased pieces where
nothing else is said), held out: the first 1,000 lines of WikiText-2's validation part. An update is at
most 1,024 tokens, the same blocks in the same batches for every variant of an architecture; no
dropout. The variants are METRO-T0's Table 4. A loss of one objective says nothing about another's:
T5's `lm_accuracy` counts sentinels, which are easy, and `t5-all-tokens` counts tokens it can copy.
Speed and minutes are those of two cores that other work shared.
"""


def sh(*words, **environment):
    """Run a command in the clone. Raises :class:`UserError` where it fails."""
    words = [str(word) for word in words]
    status = subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}).returncode
    if status != 0:
        raise UserError(f"{' '.join(words[:3])} …: status {status}; the output above says why")


def prepare(text, work, vocabulary_size, valid_lines, required_words=None):
    """Vocabulary and data folder of the text; both commands reuse what is there.

    required_words: file of words that must be single pieces.
    """
    held_out = ("wikitext2.valid.txt", "wikitext2.test.txt")
    files = sorted(path for path in text.glob("*.txt") if path.name not in held_out)
    files += sorted((text / "books").glob("*.txt"))
    if not files or not (text / held_out[0]).is_file():
        raise UserError(f"{text}: no *.txt, or no {held_out[0]} in it; give another --text")
    work.mkdir(parents=True, exist_ok=True)
    lines = (text / held_out[0]).read_text(encoding="utf-8").splitlines(keepends=True)
    if not (work / "valid.txt").exists():
        with atomic_write(work / "valid.txt") as stream:
            stream.writelines(lines[:valid_lines])
    python = sys.executable
    vocab = ["--out", work / "vocab", "--vocab-size", vocabulary_size, "--lowercase"]
    if required_words:
        vocab += ["--require-words", required_words]
    sh(python, "-m", "fairseq_metro", "vocabulary", "--input", *files, *vocab)
    splits = ["--train", *files, "--valid", work / "valid.txt", "--dest", work / "data"]
    sh(python, "-m", "fairseq_metro", "binarize", "--vocab", work / "vocab", *splits)
    return work / "data"


def run_cell(variant, seed, data, work, args, more=()):
    """Pretrain one cell; its row. more: options of fairseq-train that win over all others."""
    folder = work / f"{args.arch}-{variant}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    every = str(max(1, args.updates // 5))
    words = [
        *("--seed", seed, "--max-update", args.updates, "--total-num-update", args.updates),
        *("--warmup-updates", args.updates * 6 // 100, "--dropout", 0, "--attention-dropout", 0),
        *("--save-interval-updates", every, "--validate-interval-updates", every),
        *("--save-interval", 1000000, "--validate-interval", 1000000),
        *OPTIONS.get(variant, ()),
        *more,
    ]
    progress = [sys.executable, "-m", "fairseq_metro.analysis.progress"]
    sh(
        *progress,
        *("--log", folder / "train.log", "--every", 60, "--"),
        *("bash", f"train_scripts/{script_of(variant)}", *words),
        DATA=str(data),
        ARCH=args.arch,
        PROCESSES=str(args.processes),
        SAVE=str(folder),
    )
    log = read_log(folder / "train.log")
    row = {"variant": variant, "seed": seed, "arch": args.arch, "processes": args.processes}
    row |= {"text": "books, news, speeches, reviews; held out: WikiText-2"}
    summary = summarize(log, folder / "train.log")
    del summary["stamp"]["command"]  # it names folders of this machine
    return {**row, **summary, "valid": dict(log.valid[-1].values)}


def rows_of(path):
    """(arch, updates, variant, seed) -> row."""
    if not path.exists():
        return {}
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line)
    return {(row["arch"], row["updates"], row["variant"], row["seed"]): row for row in rows}


def table(rows):
    """Markdown: a line per cell; what an objective does not have stays empty."""
    head = ["arch", "updates", "variant", "seed", *SHOWN, "tokens/s", "minutes"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for (arch, updates, variant, seed), row in sorted(rows.items()):
        numbers = [row["valid"].get(name) for name in SHOWN]
        cells = [arch, updates, variant, seed]
        cells += ["" if n is None else f"{n:.4g}" for n in numbers]
        cells += [row["tokens_per_second"], row["minutes"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def means(rows):
    """Markdown: mean over seeds, with the standard deviation where there are several."""
    cells = {}
    for (arch, updates, variant, _), row in rows.items():
        cells.setdefault((arch, updates, variant), []).append(row["valid"])
    lines = ["## Mean over seeds", "", "| arch | updates | variant | seeds | " + " | ".join(MEANS)]
    lines[-1] += " |"
    lines.append("|---" * (4 + len(MEANS)) + "|")
    for (arch, updates, variant), cell_rows in sorted(cells.items()):
        parts = []
        for name in MEANS:
            values = [row[name] for row in cell_rows if name in row]
            spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
            parts.append(f"{statistics.mean(values):.4g}{spread}" if values else "")
        lines.append(
            "| " + " | ".join(map(str, (arch, updates, variant, len(cell_rows), *parts))) + " |"
        )
    return "\n".join(lines)


def main(argv=None):
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path, required=True, help="Folder of text files.")
    parser.add_argument("--cells", nargs="+", default=["metro:1", "t5:1"],
        help="Runs as VARIANT:SEED.")  # fmt: skip
    parser.add_argument("--arch", default="small",
        help="Architecture size: tiny or small (default: %(default)s).")  # fmt: skip
    parser.add_argument("--updates", type=int, default=7000)
    parser.add_argument("--vocab-size", type=int, default=2000,
        help="Number of vocabulary pieces, trained on lower-cased text.")  # fmt: skip
    parser.add_argument("--valid-lines", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=1,
        help="Number of fairseq-train processes on the CPU.")  # fmt: skip
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "pretraining")
    args = parser.parse_args(argv)
    cells = []
    for cell in args.cells:
        variant, _, seed = cell.partition(":")
        if variant not in VARIANTS or not seed.isdecimal():
            raise UserError(f"--cells {cell}: must be VARIANT:SEED, VARIANT one of {[*VARIANTS]}")
        cells.append((variant, int(seed)))
    data = prepare(args.text.resolve(), args.work.resolve(), args.vocab_size, args.valid_lines)
    for variant, seed in cells:
        if (args.arch, args.updates, variant, seed) in rows_of(RESULTS):
            print(f"{variant}:{seed}: measured already, in {RESULTS.name}")
            continue
        row = run_cell(variant, seed, data, args.work.resolve(), args)
        with open(RESULTS, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
    rows = rows_of(RESULTS)
    report = f"# Pretraining on real text\n\n{ABOUT}\n{table(rows)}\n\n{means(rows)}\n"
    with atomic_write(RESULTS.with_suffix(".md")) as stream:
        stream.write(report)
    print(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
