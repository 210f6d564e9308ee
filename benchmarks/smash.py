"""SMASH on real text and real few-shot tasks: does prompt distillation help a small model here?

    python benchmarks/smash.py text teacher student --text DIR
    python benchmarks/smash.py prompts distill fewshot ablation report --text DIR --tasks DIR

Stages run in the order given; each reuses what is there and goes on where it was stopped, so a stage
can be typed again, and two commands with different stages share a machine. DIR of ``--text`` holds
``*.txt`` and ``books/*.txt`` (``wikitext2.valid.txt`` is held out, ``wikitext2.test.txt`` never
read), that of ``--tasks`` the original task files. Models of this size are RoBERTa's in small; the
teacher has more than three times the student's parameters.
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.pretraining import prepare, sh  # noqa: E402
from fairseq_metro.errors import UserError, run_command  # noqa: E402
from fairseq_metro.smash.groups import group_names, load_group  # noqa: E402
from fairseq_metro.smash.tasks import required_words  # noqa: E402

VOCABULARY = 4000  # lower-cased pieces
BLOCK = 128  # tokens: as long as the longest prompt, so that every position is trained
BLOCKS = 8  # in an update: about 600 tokens, as blocks end with their documents
MODELS = {  # width, layers, heads, updates
    "teacher": (192, 4, 4, 16000),
    "middle": (96, 4, 4, 8000),  # the student's width and heads: for layer losses (equations 3, 4)
    "student": (96, 2, 4, 8000),
}


def text_stage(args):
    """The vocabulary, with every label word as one piece, and the data for masked LM."""
    groups = [load_group(name) for name in group_names()]
    more = [group.template for group in groups]
    more += [word for group in groups for word in group.verbalizer.values()]
    more += [word for group in groups if group.filter for word in group.filter.words]
    args.work.mkdir(parents=True, exist_ok=True)
    words = args.work / "words.txt"
    words.write_text("\n".join(required_words(more=more)) + "\n", "utf-8")
    prepare(args.text.resolve(), args.work.resolve(), VOCABULARY, 1000, words)


def pretrain(name, args):
    """Masked LM of one model, from its last checkpoint; the folder of its run."""
    width, layers, heads, updates = MODELS[name]
    run = args.work.resolve() / name
    run.mkdir(parents=True, exist_ok=True)
    words = [
        "fairseq-train", args.work.resolve() / "data", "--user-dir", "fairseq_metro",
        "--task", "masked_lm_blocks", "--criterion", "masked_lm_blocks", "--arch",
        "roberta_mlm_small", "--embed-dim", width, "--ffn-dim", 4 * width, "--encoder-layers",
        layers, "--attention-heads", heads, "--max-positions", BLOCK, "--mask-prob", 0.2,
        "--tokens-per-sample", BLOCK, "--batch-size", BLOCKS,
        "--dropout", 0, "--attention-dropout", 0, "--seed", 1, "--num-workers", 0,
        "--optimizer", "fused_adam", "--adam-betas", "(0.9, 0.98)", "--adam-eps", 1e-6,
        "--weight-decay", 0.01, "--clip-norm", 2.0, "--lr", 0.001,
        "--lr-scheduler", "polynomial_decay", "--warmup-updates", updates * 6 // 100,
        "--total-num-update", updates, "--max-update", updates, "--save-dir", run,
        "--save-interval-updates", 500, "--keep-interval-updates", 1,
        "--validate-interval-updates", 1000, "--save-interval", 1000000,
        "--validate-interval", 1000000, "--no-epoch-checkpoints",
        "--log-format", "json", "--log-interval", 50,
    ]  # fmt: skip
    train(run, words)


def train(run, words):
    """Run a fairseq-train command with its log in the run's folder, unless it is finished."""
    log = run / "train.log"
    if log.exists() and "| done training in" in log.read_text("utf-8", "replace"):
        print(f"{run.name}: trained already")
        return
    progress = [sys.executable, "-m", "fairseq_metro.analysis.progress", "--every", 60]
    launch = ["bash", "train_scripts/launch.sh", 1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sh(*progress, "--log", log, "--", *launch, *words, PATH=path)


STAGES = {
    "text": text_stage,
    **{name: lambda args, name=name: pretrain(name, args) for name in MODELS},
}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="+", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--text", type=Path, required=True, help="folder of text files")
    parser.add_argument("--tasks", type=Path, help="folder of task files")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "smash")
    args = parser.parse_args(argv)
    for stage in args.stages:
        if stage not in STAGES:
            raise UserError(f"no stage {stage!r}; there are {', '.join(STAGES)}")
    for stage in args.stages:
        STAGES[stage](args)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
