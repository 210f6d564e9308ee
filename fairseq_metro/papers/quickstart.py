"""The quickstart over several seeds: does METRO-T5 learn, and how much do runs differ?

    python -m fairseq_metro.papers.quickstart --seeds 1 2 3

Runs ``train_scripts/quickstart.sh`` once per seed in ``runs/seedN``, appends each finished run's
summary to ``benchmarks/results/quickstart.jsonl`` at once, and writes the table
``benchmarks/results/quickstart.md``. A seed whose row is there is not run again.
"""

import json
import os
import platform
import statistics
import subprocess
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import atomic_write, read_json
from fairseq_metro.common.stamp import ROOT
from fairseq_metro.prepare.workers import available_cores

RESULTS = ROOT / "benchmarks" / "results"
MEASURES = (
    "mlm_loss rtd_loss clm_loss mlm_accuracy clm_accuracy_replaced clm_accuracy_unreplaced "
    "unigram_accuracy rtd_auc rtd_precision rtd_recall replace_rate replace_rate_masked"
).split()


def run(seed):
    """One quickstart; its summary."""
    folder = f"runs/seed{seed}"
    environment = {**os.environ, "SEED": str(seed), "RUN": folder}
    done = subprocess.run(
        ["bash", "train_scripts/quickstart.sh"], cwd=ROOT, env=environment, check=False
    )
    if done.returncode != 0:
        raise UserError(f"train_scripts/quickstart.sh with SEED={seed}: status {done.returncode}")
    summary = read_json(ROOT / folder / "summary.json")
    del summary["stamp"]["command"]  # it names folders of this machine
    return summary


def rows_of(path):
    """Seed -> row of the results file; later rows replace earlier ones."""
    if not path.exists():
        return {}
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line)
    return {row["seed"]: row for row in rows}


def table(rows):
    """Markdown: mean, spread and every seed's value at the end, and the marks of the quickstart."""
    seeds = sorted(rows)
    lines = ["| at the end | mean | standard deviation | " + " | ".join(f"seed {s}" for s in seeds)]
    lines[0] += " |"
    lines.append("|---" * (3 + len(seeds)) + "|")

    def add(name, values):
        spread = f"{statistics.stdev(values):.4f}" if len(values) > 1 else "-"
        cells = [name, f"{statistics.mean(values):.4f}", spread, *(f"{v:.4f}" for v in values)]
        lines.append("| " + " | ".join(cells) + " |")

    for name in MEASURES:
        add(name, [rows[seed]["end"][name] for seed in seeds])
    ratio = [
        rows[s]["end"]["clm_accuracy_replaced"] / rows[s]["end"]["unigram_accuracy"] for s in seeds
    ]
    add("clm_accuracy_replaced / unigram_accuracy", ratio)
    add("rtd_auc at the start", [rows[seed]["start"]["rtd_auc"] for seed in seeds])
    add("tokens_per_second", [rows[seed]["tokens_per_second"] for seed in seeds])
    add("minutes of training", [rows[seed]["minutes"] for seed in seeds])
    return "\n".join(lines)


def main(argv=None):
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--json", type=Path, default=RESULTS / "quickstart.jsonl")
    args = parser.parse_args(argv)
    for seed in args.seeds:
        if seed in rows_of(args.json):
            print(f"seed {seed}: measured already, in {args.json}")
            continue
        row = {**run(seed), "cores": available_cores(), "machine": platform.processor()}
        with open(args.json, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
    rows = rows_of(args.json)
    updates = sorted({row["updates"] for row in rows.values()})
    report = f"# Quickstart over {len(rows)} seeds\n\n{updates} updates each.\n\n{table(rows)}\n"
    with atomic_write(args.json.with_suffix(".md")) as stream:
        stream.write(report)
    print(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
