#!/usr/bin/env python3
"""SMASH's two costs beside plain loops over Hugging Face's models of the same weights, on one core.

    python benchmarks/distill.py [--json FILE] [--only step|fewshot]

step     training prompts a second: fairseq's trainer with cached teacher vectors and heads at the mask
         alone, against the teacher in the loop with heads at every position. The student has 3 layers
         and width 192, the teacher 12 and 256: as RoBERTa-large to DistilRoBERTa, 7.1 times the
         multiplications in their layers. 8,000 pieces: fewer for the width than theirs, which is to
         the rival's advantage. Prompts are pairs of made-up sentences, those of both sides the same
         in number; ours come sorted by length, as they do in training. Rounds of both alternate.
fewshot  finished runs an hour: ours all from one process, against a process for each run. The rival
         is given the ids, so that it need not tokenize. SMASH's schedule: 1,000 updates, dev each
         100, 872 test rows.

Seconds are the processor's, on one thread, so that other work on the machine does not count. The
weights are random: speed does not depend on them. Both sides' losses are compared before.
"""

import argparse
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
import transformers

import fairseq_metro
from benchmarks import distill_rival as rival
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.stamp import commit
from fairseq_metro.interchange import export_roberta
from fairseq_metro.interchange.model import ROBERTA, Model
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.interchange.run_folder import write_run_folder
from fairseq_metro.models.roberta import RobertaMLMConfig, RobertaMLMModel
from fairseq_metro.prepare import teacher_cache
from fairseq_metro.prepare.intermediate import main as intermediate
from fairseq_metro.prepare.train_vocabulary import train_vocabulary
from fairseq_metro.smash.examples import read_split
from fairseq_metro.smash.splits import kshot_split
from fairseq_metro.smash.tasks import load_task, required_words
from fairseq_metro.vocabulary.folder import Vocabulary

ROOT = Path(__file__).resolve().parent.parent
PIECES = 8000
SIZES = {
    "student": dict(embed_dim=192, encoder_layers=3, attention_heads=6),
    "teacher": dict(embed_dim=256, encoder_layers=12, attention_heads=8),
}
RIVAL = "import sys; from benchmarks.distill_rival import main; main(sys.argv[1])"
BATCH = 32
PROMPTS = 1920


def seconds():
    """Of the processor, of this process and the finished ones it started."""
    return sum(os.times()[:4])


def made_up_text(rng, documents):
    """Documents of sentences of made-up words, commoner ones oftener; lengths as in prose."""
    syllables = [
        a + b for a in "bcdfghjklmnpqrstvwxyz" for b in ("a", "e", "i", "o", "u", "an", "er")
    ]
    words = ["".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(14000)]
    share = 1 / (np.arange(len(words)) + 5)
    lengths = np.clip(rng.lognormal(2.9, 0.5, (documents, 8)), 5, 50).astype(int)
    drawn = rng.choice(len(words), lengths.sum(), p=share / share.sum())
    sentences = np.split(drawn, lengths.cumsum()[:-1])
    for start in range(0, len(sentences), 8):
        lines = (" ".join(words[i] for i in one) for one in sentences[start : start + 8])
        yield "\n".join(
            f"{line}, it was: this{end}" for line, end in zip(lines, ".?" * 4, strict=True)
        )


def write_model(name, vocab, folder):
    """A random model's run folder, and its Hugging Face folder beside; both paths."""
    run, theirs = folder / name, folder / f"{name}-hf"
    if not theirs.exists():
        sizes = {**SIZES[name], "ffn_dim": 4 * SIZES[name]["embed_dim"], "max_positions": 128}
        torch.manual_seed(1)
        dictionary = SimpleNamespace(source_dictionary=Vocabulary.load(vocab).dictionary())
        model = RobertaMLMModel.build_model(RobertaMLMConfig(**sizes), dictionary)
        write_run_folder(Model(ROBERTA, sizes, model.state_dict(), vocab, "random"), run)
        export_roberta.main([str(run), "--out", str(theirs)])
    return run, theirs


def prepare(work):
    """Vocabulary, models, prompts with the teacher's cache, and SST-2's files with made-up text."""
    work.mkdir(parents=True, exist_ok=True)
    text, words = work / "text.txt", work / "words.txt"
    if not text.exists():
        documents = made_up_text(np.random.default_rng(1), 3000)
        text.write_text("\n\n".join(documents) + "\n", "utf-8")
    words.write_text("\n".join(required_words()) + "\n")
    train_vocabulary([text], work / "vocab", PIECES, lowercase=True, required_words=words)
    models = {name: write_model(name, work / "vocab", work) for name in SIZES}
    data = work / "pairs"
    intermediate.main([
        "--group", "sentence_pair", "--input", str(text), "--vocab", str(work / "vocab"), "--dest",
        str(data), "--size", str(PROMPTS // 3 * 3), "--held-out", "0", "--workers", "1",
    ])  # fmt: skip
    started = seconds()
    cache, fresh = work / "cache", not (work / "cache").exists()
    teacher_cache.main([str(data), "--teacher", str(models["teacher"][0]), "--dest", str(cache)])
    caching = PROMPTS / (seconds() - started) if fresh else None
    write_originals(text, work / "tasks" / "SST-2")
    return models, data, cache, caching


def write_originals(text, folder):
    """LM-BFF's files of SST-2: 500 training rows and, as published, 872 of dev."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line for line in text.read_text("utf-8").split("\n") if line][:1372]
    for name, rows in (("train.tsv", lines[:500]), ("dev.tsv", lines[500:])):
        table = "".join(f"{line}\t{i % 2}\n" for i, line in enumerate(rows))
        (folder / name).write_text(f"sentence\tlabel\n{table}", "utf-8")


def our_trainer(data, cache, student):
    """fairseq's trainer as ``fairseq-train`` makes it, and an endless iterator of its batches."""
    from fairseq import options, tasks, utils
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.logging import metrics
    from fairseq.trainer import Trainer

    fairseq_metro.register()
    sizes = {**SIZES["student"], "ffn_dim": 4 * SIZES["student"]["embed_dim"], "max_positions": 128}
    words = [
        str(data), "--user-dir", str(ROOT / "fairseq_metro"), "--task", "prompt_distillation",
        "--criterion", "prompt_distillation", "--arch", "roberta_mlm_small", "--init-from",
        str(student), "--teacher-cache", str(cache), "--batch-size", str(BATCH), "--cpu",
        "--num-workers", "0", "--optimizer", "fused_adam", "--clip-norm", "2.0", "--lr", "1e-4",
        "--disable-validation", "--no-save", "--max-update", "1000000",
        *(f"--{name.replace('_', '-')}={value}" for name, value in sizes.items()),
    ]  # fmt: skip
    args = options.parse_args_and_arch(options.get_training_parser(), words)
    cfg = convert_namespace_to_omegaconf(args)
    utils.import_user_module(cfg.common)
    metrics.reset()
    task = tasks.setup_task(cfg.task)
    model, criterion = task.build_model(cfg.model), task.build_criterion(cfg.criterion)
    trainer = Trainer(cfg, task, model, criterion)
    epochs = trainer.get_train_iterator(epoch=1, load_dataset=True)

    def batches():
        while True:
            yield from epochs.next_epoch_itr(shuffle=True)

    return trainer, batches()


def step_row(models, data, cache, caching, args):
    """The row of distillation steps."""
    trainer, batches = our_trainer(data, cache, models["student"][0])
    dataset = trainer.task.dataset("train")
    student, teacher = rival.load(models["student"][1]), rival.load(models["teacher"][1]).eval()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)
    rows = [dataset[i]["tokens"].tolist() for i in range(len(dataset))]
    places = [dataset[i]["mask"] for i in range(len(dataset))]
    check_same_loss(trainer, dataset, student, teacher, rows, places)
    order = np.random.default_rng(1).permutation(len(rows))
    rates, at = {"ours": [], "rival": []}, 0
    for turn in range(args.rounds + 1):  # the first is warm-up
        started = seconds()
        seen = 0
        for _ in range(args.updates):
            batch = next(batches)
            seen += batch["nsentences"]
            trainer.train_step([batch])
        ours = seen / (seconds() - started)
        started = seconds()
        student.train()
        for _ in range(args.updates):
            chosen = order.take(range(at, at + BATCH), mode="wrap")
            at += BATCH
            rival.distillation_step(
                student, teacher, optimizer, [rows[i] for i in chosen], [places[i] for i in chosen]
            )
        theirs = args.updates * BATCH / (seconds() - started)
        print(f"round {turn}: ours {ours:.1f}, rival {theirs:.1f} prompts/s", flush=True)
        if turn:
            rates["ours"].append(ours)
            rates["rival"].append(theirs)
    more = {"caching_prompts_per_second": round(caching, 1)} if caching else {}
    return row("distillation step", "prompts/s", rates, rounds=args.rounds, **more)


def check_same_loss(trainer, dataset, student, teacher, rows, places):
    """Raise :class:`UserError` where the two sides do not compute the same loss at the start."""
    chosen = list(range(BATCH))
    sample = dataset.collater([dataset[i] for i in chosen])
    trainer.model.eval()
    student.eval()
    with torch.no_grad():
        ours = float(trainer.criterion(trainer.model, sample)[0]) / BATCH
        ids, mask = rival.padded([rows[i] for i in chosen])
        at = torch.arange(BATCH), torch.tensor([places[i] for i in chosen])
        said = [m(input_ids=ids, attention_mask=mask).logits[at] for m in (teacher, student)]
    theirs = float(-(said[0].softmax(-1) * said[1].log_softmax(-1)).sum(-1).mean())
    print(f"loss before the first update: ours {ours:.5f}, rival {theirs:.5f}")
    if abs(ours - theirs) > 2e-3:
        raise UserError(f"the two sides have other losses: {ours:.5f} and {theirs:.5f}")


def fewshot_row(models, work, args):
    """The row of few-shot runs."""
    seeds, lrs = ["13", "21"][: args.splits], ["1e-5", "2e-5", "5e-5"]
    out = work / f"fewshot-{os.getpid()}"
    words = [
        sys.executable, "-m", "fairseq_metro", "fewshot", "--model", models["student"][0], "--tasks",
        work / "tasks", "--task", "sst2", "--rows", "prompt", "--seeds", *seeds, "--lr", *lrs,
        "--batch", "4", "--steps", args.steps, "--jobs", 1, "--device", "cpu", "--out", out,
    ]  # fmt: skip
    started = seconds()
    subprocess.run(list(map(str, words)), check=True, stderr=subprocess.DEVNULL)
    ours = len(seeds) * len(lrs) * 3600 / (seconds() - started)
    print(f"ours: {ours:.1f} runs an hour", flush=True)
    rates = {"ours": [ours], "rival": []}
    job = rival_job(models, out / "kshot", work / "tasks", args)
    for lr in lrs[: args.rival_runs]:
        path = out / "job.json"
        path.write_text(json.dumps({**job, "lr": float(lr)}))
        started = seconds()
        subprocess.run([sys.executable, "-c", RIVAL, str(path)], check=True, cwd=ROOT)
        rates["rival"].append(3600 / (seconds() - started))
        print(f"rival: {rates['rival'][-1]:.1f} runs an hour", flush=True)
    return row("few-shot runs", "runs/hour", rates, steps=args.steps)


def rival_job(models, kshot, tasks, args):
    """What the rival's process is given: dict."""
    task, (_, tok) = load_task("sst2"), load_roberta(models["student"][0])
    folder = kshot_split(task, tasks, 16, 13, kshot)
    job = {
        "model": str(models["student"][1]), "words": list(task.verbalizer(tok).ids), "seed": 13,
        "steps": args.steps, "every": 100, "batch": 4,
    }  # fmt: skip
    for split in ("train", "dev", "test"):
        examples = read_split(task, folder, split)
        prompts = [task.build(example.sentences, tok) for example in examples]
        labels = [task.labels.index(example.label) for example in examples]
        job[split] = [p.ids for p in prompts], [p.mask_position for p in prompts], labels
    return job


def row(name, unit, rates, **more):
    """A line of the results: medians of the rounds."""
    ours, theirs = (statistics.median(rates[side]) for side in ("ours", "rival"))
    return {
        "name": name, "ours": round(ours, 1), "rival": round(theirs, 1),
        "ratio": round(ours / theirs, 2), "unit": unit,
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__,
            "transformers": transformers.__version__, "commit": commit(),
        },
        "threads": torch.get_num_threads(), **more,
    }  # fmt: skip


@messages_on_stderr(logging.WARNING)
def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", choices=("step", "fewshot"))
    add("--rounds", type=int, default=5,
        help="Number of rounds for each side (default: %(default)s).")  # fmt: skip
    add("--updates", type=int, default=20,
        help="Number of updates in a round (default: %(default)s).")  # fmt: skip
    add("--steps", type=int, default=1000,
        help="Number of updates in a few-shot run (default: %(default)s).")  # fmt: skip
    add("--splits", type=int, choices=(1, 2), default=2,
        help="Number of splits, with three runs each (default: 2).")  # fmt: skip
    add("--rival-runs", type=int, choices=(1, 2, 3), default=2)
    add("--work", type=Path, default=ROOT / "runs" / "distill",
        help="Working folder (default: %(default)s).")  # fmt: skip
    add("--json", type=Path, metavar="FILE",
        help="File to append the results to, one row per line.")  # fmt: skip
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    models, data, cache, caching = prepare(args.work.resolve())
    rows = []
    if args.only != "fewshot":
        rows.append(step_row(models, data, cache, caching, args))
    if args.only != "step":
        rows.append(fewshot_row(models, args.work.resolve(), args))
    for one in rows:
        print(f"{one['name']}: ours {one['ours']}, rival {one['rival']} {one['unit']}: "
              f"{one['ratio']} times")  # fmt: skip
    if args.json:
        with open(args.json, "a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(one) + "\n" for one in rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
