"""Models of the SMASH experiment: vocabulary, masked LM in pieces, prompts, distillation."""

import dataclasses
import os
import re
import sys
from pathlib import Path

import torch

from fairseq_metro.common.files import atomic_write
from fairseq_metro.papers.pretraining import prepare, sh
from fairseq_metro.smash.groups import group_names, load_group
from fairseq_metro.smash.tasks import required_words

VOCABULARY = 4000  # lower-cased pieces
BLOCK = 128  # tokens: as long as the longest prompt, so that every position is trained
MODELS = {  # width, layers, heads
    "teacher": (192, 4, 4),
    "middle": (96, 4, 4),  # the student's width and heads: for layer losses (equations 3, 4)
    "student": (96, 2, 4),
}


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a model's pretraining. blocks: of an update; tokens: of a block at most, as blocks
    end with their documents; begins: the run whose best checkpoint it begins with."""

    model: str
    updates: int
    blocks: int
    tokens: int = BLOCK
    lr: float = 0.001
    begins: str | None = None
    seed: int = 1


def two_pieces(model, first, second):
    """Short blocks first, then long ones: updates of each, 128 x 32 and 32 x 128 tokens.

    With learned absolute positions and blocks of 128 tokens, models of this width stayed where the
    frequencies of words alone lead (MLM loss 5.9) for 20,000 updates; with blocks of 32 they leave
    that stage within 700. The long ones teach the positions from 32 on, which begin as copies of
    the first 32.
    """
    short = Piece(model, first, blocks=128, tokens=32)
    long = Piece(model, second, blocks=32, lr=0.0005, begins=f"{model}-short", seed=2)
    return {f"{model}-short": short, model: long}


PIECES = {
    **two_pieces("teacher", 4000, 1000),
    **two_pieces("middle", 3000, 400),
    **two_pieces("student", 3000, 400),
}
SIZES = {"single_sentence": 12000, "sentence_pair": 12000}  # prompts
DISTILLATION, EVERY = 3000, 1000  # updates of 32 prompts, and between checkpoints
SETTINGS = {  # of section 4.3: teacher, options of fairseq-train
    "ce": ("teacher", []),
    "middle-ce": ("middle", []),
    "middle-ce+hidn": ("middle", ["--hidden-weight", 0.01]),
    "middle-ce+attn": ("middle", ["--attention-weight", 0.01]),
    "middle-mlm": ("middle", ["--distillation", "mlm", "--tokens-per-sample", BLOCK]),
    "rule": (None, ["--distillation", "rule"]),
}
_BLANK = re.compile(r"\n\s*\n")


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


def _shape(name):
    width, layers, heads = MODELS[name]
    return [
        "--arch", "roberta_mlm_small", "--embed-dim", width, "--ffn-dim", 4 * width,
        "--encoder-layers", layers, "--attention-heads", heads, "--max-positions", BLOCK,
        "--dropout", 0, "--attention-dropout", 0,
    ]  # fmt: skip


def _common(updates, every, seed=1):
    return [
        "--seed", seed, "--num-workers", 0, "--optimizer", "fused_adam", "--adam-betas",
        "(0.9, 0.98)", "--adam-eps", 1e-6, "--weight-decay", 0.01, "--clip-norm", 1.0,
        "--lr-scheduler", "polynomial_decay", "--warmup-updates", updates * 6 // 100,
        "--total-num-update", updates, "--max-update", updates,
        "--save-interval-updates", every, "--validate-interval-updates", every,
        "--save-interval", 1000000, "--validate-interval", 1000000, "--no-epoch-checkpoints",
        "--log-format", "json", "--log-interval", 50,
    ]  # fmt: skip


def pretrain(name, args):
    """Masked LM of one piece, from its last checkpoint on, in a run's folder of its name."""
    piece, run = PIECES[name], args.work.resolve() / name
    run.mkdir(parents=True, exist_ok=True)
    begins = []
    if piece.begins:
        begins = ["--init-from", repeated_positions(args.work.resolve() / piece.begins)]
    words = [
        "fairseq-train", args.work.resolve() / "data", "--user-dir", "fairseq_metro",
        "--task", "masked_lm_blocks", "--criterion", "masked_lm_blocks", *_shape(piece.model),
        *begins, "--mask-prob", 0.2, "--tokens-per-sample", piece.tokens,
        "--batch-size", piece.blocks, "--lr", piece.lr,
        *_common(piece.updates, piece.updates // 20, piece.seed),
        "--keep-interval-updates", 1, "--save-dir", run,
    ]  # fmt: skip
    train(run, words)


def repeated_positions(run):
    """Path of the best checkpoint of a run with short blocks whose other positions, which it never
    trained, are copies of those it did."""
    tokens = next(p.tokens for name, p in PIECES.items() if name == run.name)
    state = torch.load(run / "checkpoint_best.pt", weights_only=True)
    table = state["model"]["encoder.embed_positions.weight"]
    first = len(table) - BLOCK  # before it, padding's own rows
    trained = table[first : first + tokens]
    table[first:] = trained.repeat(-(-BLOCK // tokens), 1)[:BLOCK]
    path = run / "checkpoint_repeated.pt"
    with atomic_write(path, "wb") as stream:
        torch.save(state, stream)
    return path


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


def write_documents(text, path):
    """The text as documents that ``fairseq-metro intermediate`` reads: a blank line between them, a
    paragraph a line. Reviews and news come so; books and speeches are cut every 20 paragraphs."""
    blocks = []
    for name in ("movie_reviews.txt", "abc.txt"):
        blocks += _BLANK.split((text / name).read_text("utf-8"))
    long = [text / "inaugural.txt", text / "state_union.txt", *sorted(text.glob("books/*.txt"))]
    for file in long:
        paragraphs = [" ".join(part.split()) for part in _BLANK.split(file.read_text("utf-8"))]
        blocks += ["\n".join(paragraphs[i : i + 20]) for i in range(0, len(paragraphs), 20)]
    with atomic_write(path) as stream:
        stream.write("\n\n".join(filter(None, (block.strip() for block in blocks))) + "\n")


def prompts_stage(args):
    """Intermediate data of both groups, and what the teacher says of it."""
    work = args.work.resolve()
    if not (work / "documents.txt").exists():
        write_documents(args.text.resolve(), work / "documents.txt")
    for group in args.groups:
        sh(
            sys.executable, "-m", "fairseq_metro", "intermediate", "--group", group, "--input",
            work / "documents.txt", "--vocab", work / "vocab", "--dest", work / group, "--size",
            SIZES[group], "--held-out", 0.02, "--valid-size", 999, "--seed", 1, "--workers", 1,
        )  # fmt: skip
        for teacher in args.teachers:
            sh(
                sys.executable, "-m", "fairseq_metro", "cache-teacher", work / group, "--teacher",
                work / teacher, "--dest", work / f"{group}-{teacher}", "--device", "cpu",
            )  # fmt: skip


def distil(setting, group, args):
    """Distil the student under one of :data:`SETTINGS` on a group's prompts, checkpoints kept."""
    work = args.work.resolve()
    teacher, options = SETTINGS[setting]
    run = work / f"smash-{setting}-{group}"
    run.mkdir(parents=True, exist_ok=True)
    text = "mlm" in options  # blocks of text in the place of prompts
    online = text or "--hidden-weight" in options or "--attention-weight" in options
    teacher_options = ["--teacher", work / teacher] if teacher and online else []
    if teacher and not online:
        teacher_options = ["--teacher-cache", work / f"{group}-{teacher}"]
    words = [
        "fairseq-train", work / ("data" if text else group), "--user-dir", "fairseq_metro", "--task",
        "prompt_distillation", "--criterion", "prompt_distillation", *_shape("student"),
        "--init-from", work / "student", *teacher_options, *options, "--batch-size", 8 if text else 32,
        "--lr", 0.0005, *_common(DISTILLATION, EVERY), "--save-dir", run,
    ]  # fmt: skip
    train(run, words)
    name_last(run)


def name_last(run):
    """Give the last checkpoint, which fairseq leaves without, a name with its updates: figure 2
    reads them there."""
    named = run / f"checkpoint_0_{DISTILLATION}.pt"
    if not any(run.glob(f"checkpoint_*_{DISTILLATION}.pt")):
        os.link(run / "checkpoint_last.pt", named)
