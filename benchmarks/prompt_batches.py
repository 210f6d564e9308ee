#!/usr/bin/env python3
"""Padding share of prompt fine-tuning's batches on lengths like those of T0's training mixture.

    python benchmarks/prompt_batches.py [--examples N] [--max-tokens M] [--json FILE]

The share of a batch's tokens, source and target rectangles together, that are padding. Lengths are
synthetic: METRO's examples per epoch and data set (rows up to 500,000 / templates for each template),
each data set with a log-normal source and target around a typical length in tokens, cut to 512 and
256; every seventh example is the task turned around, as T0 has templates that ask for the question.
The typical lengths are our estimates of these data sets under a 32k vocabulary, rounded; nothing
else depends on them. ``--data DIR`` measures a real folder of prompted pairs instead.

Ways to make batches of at most M tokens, every width a multiple of 8:

shuffled  consecutive examples of a random order
ours      slices of source length, sorted by target length within (fairseq_metro/data/length_batches.py)
packed    several examples in a row, rows batched as ours (--pack)
fairseq   its default (and the METRO release's): sorted by target, then by source length, stably, and
          cut where the longer side alone reaches M, by fairseq's own function
fairseq=  the same with a larger M, so that its batches hold as many tokens on average as ours: the
          number to compare, since smaller batches have less padding
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq.data import data_utils

from fairseq_metro.common.errors import run_command
from fairseq_metro.common.stamp import commit
from fairseq_metro.data.length_batches import length_batches
from fairseq_metro.data.packing import pack
from fairseq_metro.data.padding import padded_width
from fairseq_metro.data.prompted_files import open_split

LONGEST_SOURCE, LONGEST_TARGET = 512, 256
SPREAD_SOURCE, SPREAD_TARGET = 0.5, 0.35  # of the logarithm, within a data set
TURNED = 1 / 7

# Data set: rows, templates, typical source and target in tokens.
T0 = """
glue/mrpc 3668 7 70 3, glue/qqp 363846 6 50 3, paws 49401 12 75 3, kilt/hotpotqa 88869 5 40 5,
wiki_qa 20360 11 60 4, adversarial_qa 30000 5 210 6, duorc/SelfRC 60721 9 900 5,
duorc/ParaphraseRC 69524 9 900 5, ropes 10924 12 260 4, quoref 19399 11 450 5, cos_e 9741 11 55 4,
cosmos_qa 25262 13 150 12, dream 6116 5 250 12, qasc 8134 8 80 5, quail 10246 13 460 8,
quarel 1941 5 80 4, quartz 2696 8 80 4, sciq 11679 5 150 5, social_i_qa 33410 6 60 7,
wiki_hop 43738 9 2000 5, wiqa 29808 8 110 4, amazon_polarity 3600000 9 110 3,
app_reviews 288065 4 40 6, imdb 25000 11 290 3, rotten_tomatoes 8530 10 40 3,
yelp_review_full 650000 7 170 5, common_gen 67389 9 25 14, wiki_bio 582659 5 130 110,
cnn_dailymail 287113 9 900 75, gigaword 3803957 9 50 12, multi_news 44972 6 1800 260,
samsum 14732 7 150 28, xsum 204045 10 480 28, ag_news 120000 7 70 4, dbpedia_14 560000 4 80 4,
trec 5452 18 30 4
"""


def t0_lengths(count, seed):
    """Sources (count,) and targets (count,) in tokens, drawn as the module says."""
    entries = [entry.split() for entry in T0.replace("\n", " ").split(",")]
    rows, templates, source, target = np.array([list(map(int, entry[1:])) for entry in entries]).T
    share = np.minimum(rows, 500_000 // templates) * templates
    rng = np.random.default_rng(seed)
    kind = rng.choice(len(entries), count, p=share / share.sum())
    sources = source[kind] * np.exp(SPREAD_SOURCE * rng.standard_normal(count))
    targets = target[kind] * np.exp(SPREAD_TARGET * rng.standard_normal(count))
    turned = rng.random(count) < TURNED
    sources, targets = (
        np.where(turned, targets, sources),
        np.where(turned, sources, targets),
    )
    return (
        np.clip(np.rint(lengths), 3, longest).astype(np.int64)
        for lengths, longest in ((sources, LONGEST_SOURCE), (targets, LONGEST_TARGET))
    )


def real_lengths(data, count, seed):
    """Sources and targets of a sample of a folder's train split, with <s>, up to the caps."""
    rng, sources, targets = np.random.default_rng(seed), [], []
    for task in open_split(data, "train").tasks:
        rows = rng.permutation(task.rows)[: task.cap]
        sources.append(np.minimum(np.asarray(task.source.sizes)[rows] + 1, LONGEST_SOURCE))
        targets.append(np.minimum(np.asarray(task.target.sizes)[rows], LONGEST_TARGET))
    chosen = rng.permutation(sum(map(len, sources)))[:count]
    return (np.concatenate(each).astype(np.int64)[chosen] for each in (sources, targets))


def shuffled(source, target, order, max_tokens):
    """Consecutive examples, as many as fit."""
    batches, batch, widest = [], [], (0, 0)
    for index in order.tolist():
        grown = max(widest[0], source[index]), max(widest[1], target[index])
        if batch and (len(batch) + 1) * sum(grown) > max_tokens:
            batches.append(np.array(batch))
            batch, grown = [], (source[index], target[index])
        batch.append(index)
        widest = grown
    return [*batches, np.array(batch)]


def fairseqs(source, target, order, max_tokens):
    """What LanguagePairDataset.ordered_indices and batch_by_size do, on unpadded lengths."""
    order = order[np.argsort(target[order], kind="mergesort")]
    order = order[np.argsort(source[order], kind="mergesort")]
    longer = np.maximum(source, target)
    return data_utils.batch_by_size(
        order, longer.__getitem__, longer, max_tokens, required_batch_size_multiple=8
    )


def ways(source, target, max_tokens, seed):
    """Name -> (function without arguments that makes batches, source and target widths)."""
    order = np.random.default_rng(seed).permutation(len(source))
    widths = padded_width(source), padded_width(target)

    def packed():
        members, starts = pack(source, target, order, LONGEST_SOURCE, LONGEST_TARGET)
        rows = [
            padded_width(np.add.reduceat(side[members], starts[:-1])) for side in (source, target)
        ]
        return rows, length_batches(*rows, np.arange(len(starts) - 1), max_tokens=max_tokens,
                                    batch_multiple=8)  # fmt: skip

    def ours():
        return widths, length_batches(*widths, order, max_tokens=max_tokens, batch_multiple=8)

    def equal():
        mean = [sum(sizes(*made)) / len(made[1]) for made in (ours(), (widths, fairseqs_at(1)))]
        return mean[0] / mean[1]

    def fairseqs_at(factor):
        return fairseqs(source, target, order, int(factor * max_tokens))

    factor = equal()
    return {
        "shuffled": lambda: (widths, shuffled(*widths, order, max_tokens)),
        "ours": ours,
        "packed": packed,
        "fairseq": lambda: (widths, fairseqs_at(1)),
        "fairseq=": lambda: (widths, fairseqs_at(factor)),
    }


def sizes(widths, batches):
    """Tokens of each batch, padding included."""
    return [len(each) * int(widths[0][each].max() + widths[1][each].max()) for each in batches]


def measure(source, target, max_tokens, seed):
    """One row per way."""
    real = int(source.sum() + target.sum())
    for name, make in ways(source, target, max_tokens, seed).items():
        start = time.perf_counter()
        widths, batches = make()
        seconds = time.perf_counter() - start
        size = sum(sizes(widths, batches))
        yield {
            "way": name,
            "seed": seed,
            "padding_share": round(1 - real / size, 4),
            "batches": len(batches),
            "tokens_per_batch": round(size / len(batches)),
            "seconds": round(seconds, 2),
        }


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=400_000,
        help="Number of examples in an epoch (default: 400,000).")  # fmt: skip
    parser.add_argument("--max-tokens", type=int, default=16_384,
        help="Maximum number of tokens in a batch (default: 16,384).")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3],
        help="Random seeds (default: 1 2 3).")  # fmt: skip
    parser.add_argument("--data", type=Path, help="Measure the train split of this folder instead.")
    parser.add_argument("--json", type=Path, help="File to append the rows to, one per line.")
    args = parser.parse_args(argv)
    rows = []
    for seed in args.seeds:
        if args.data:
            source, target = real_lengths(args.data, args.examples, seed)
        else:
            source, target = t0_lengths(args.examples, seed)
        for row in measure(source, target, args.max_tokens, seed):
            facts = {
                "lengths": args.data.name if args.data else "T0-like",
                "examples": len(source),
                "max_tokens": args.max_tokens,
                "mean_source": round(float(source.mean()), 1),
                "mean_target": round(float(target.mean()), 1),
                "machine": platform.machine(),
                "commit": commit(),
            }
            rows.append({**row, **facts})
            print(
                f"seed {seed}  {row['way']:8}  padding {row['padding_share']:6.1%}  "
                f"{row['batches']:,} batches in {row['seconds']:.1f} s",
                flush=True,
            )
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        with open(args.json, "a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
