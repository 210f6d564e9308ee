"""METRO-T5 and T5 asked for the same masked tokens of held-out text, each in its own format.

``python -m fairseq_metro.papers.shared_spans RUN ... --text FILE``: teacher-forced accuracy of the
decoder on the tokens that stand in both targets. Of each block the same tokens are masked for every
model:

T5          reads a sentinel for each span; its target is each sentinel and what it stands for, ended
            by a symbol of its own. Scored are the tokens of the spans, not the sentinels, nor the end.
METRO-T5    its auxiliary model reads a mask for each such token and writes a token over it, the
            encoder reads what it wrote, and the decoder's target is the whole block. Scored are the
            masked tokens; all others stand in no target of T5.

So the scored tokens are the same, in the same order. What is known when one is asked for differs, as
the formats do: METRO-T5's decoder has all of the block that stands before it, T5's the earlier spans,
and the text around them through the encoder; METRO-T5 is not told which tokens were masked. Masks are
drawn in two patterns: ``spans`` of 1 to 5 tokens, T5's in pretraining, and ``iid``, METRO-T5's, where
neighbours that are masked share a sentinel. Special tokens are never masked.

A prediction is the likeliest of the tokens that can stand in both targets, all but special ones: T5
does not know where a span ends and would often say the next sentinel, which METRO-T5 has not. What is
found with every symbol allowed is told beside (``accuracy_any``).
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import sha256_file
from fairseq_metro.common.logs import quieted
from fairseq_metro.common.sources import Reading, documents_of
from fairseq_metro.data import randomness
from fairseq_metro.data.blocks import cut_blocks
from fairseq_metro.data.masking import choose_masked
from fairseq_metro.data.padding import flat_index, right_padded
from fairseq_metro.data.span_corruption import choose_masked_in_spans, corrupt, span_starts
from fairseq_metro.inference.loading import choose_device, find_checkpoint, open_checkpoint
from fairseq_metro.trainer.checkpoints import read_facts

PATTERNS = ("spans", "iid")
MASK_PROB, LONGEST_SPAN, LENGTH = 0.15, 5, 128
GROUP = 10  # neighbouring blocks that a bootstrap draws together
BATCH = 32  # blocks


@dataclass(frozen=True)
class Shared:
    """A block (T,) int64, ``<s>`` first, and what is masked of it. positions (m,): ascending, of the
    masked tokens in the block. source (n,), target (k,): T5's. scored (m,): where the same tokens
    stand in that target. index: of the block, for the random numbers."""

    index: int
    block: np.ndarray
    positions: np.ndarray
    source: np.ndarray
    target: np.ndarray
    scored: np.ndarray


def shared_targets(index, block, masked, sentinels, end_of_target):
    """The :class:`Shared` of a block of which ``masked`` (T,) bool is masked.

    >>> block, masked = np.arange(10, 16), np.array([False, True, True, False, False, True])
    >>> shared = shared_targets(0, block, masked, np.array([91, 92]), 2)
    >>> shared.target.tolist(), shared.scored.tolist(), shared.target[shared.scored].tolist()
    ([91, 11, 12, 92, 15, 2], [1, 2, 4], [11, 12, 15])
    """
    starts = span_starts(masked)
    source, target = corrupt(block, masked, starts, sentinels, end_of_target)
    before = np.append(0, np.cumsum(masked))[starts]  # masked tokens before each span
    scored = np.insert(np.ones(int(masked.sum()), bool), before, False)
    return Shared(index, block, np.flatnonzero(masked), source, target, np.flatnonzero(scored))


def choose(pattern, index, ordinary, sentinels, seed):
    """Which tokens of a block are masked, bool (T,): of :data:`PATTERNS`, at most ``sentinels`` spans,
    the last ones left out where there are more."""
    if pattern == "spans":
        rng = randomness.generator(seed, 1, index, randomness.SPANS)
        masked = choose_masked_in_spans(ordinary, MASK_PROB, 0.0, LONGEST_SPAN, rng)
    else:
        rng = randomness.generator(seed, 1, index, randomness.MASKING)
        masked = np.zeros(len(ordinary), bool)
        masked[choose_masked(ordinary, MASK_PROB, rng)] = True
    starts = span_starts(masked)
    if len(starts) > sentinels:
        masked[starts[sentinels] :] = False
    return masked


def blocks_of(path, vocabulary, bos, eos, length=LENGTH, limit=None):
    """Blocks of whole lines of a text file while they fit ``length`` tokens: list of (T,) int64.

    limit: at most so many blocks. Raises :class:`UserError` where there is no text.
    """
    lines = [line for text in documents_of(path, Reading()) for line in text.split("\n")]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise UserError(f"{path}: no text in it; give another")
    flat, sizes = vocabulary.encode_flat(lines)
    flat = np.insert(flat, np.cumsum(sizes), eos)
    cut = cut_blocks(sizes + 1, length - 1, "complete")
    return [
        np.append(bos, flat[start : start + size])
        for start, size in list(zip(cut.starts, cut.lengths, strict=True))[:limit]
    ]


class Model:
    """A pretrained run: how it is asked for a batch of :class:`Shared` blocks."""

    def __init__(self, run, device="cpu"):
        self.path = find_checkpoint(run)
        facts = read_facts(self.path)
        self.updates, self.seed = facts["num_updates"], facts["cfg"]["common"]["seed"]
        with quieted("fairseq", "fairseq_metro"):
            self.cfg, self.task, self.vocabulary, state = open_checkpoint(self.path)
            model = self.task.build_model(self.cfg.model, from_checkpoint=True)
            model.load_state_dict(state, strict=True, model_cfg=self.cfg.model)
        self.device = choose_device(device)
        self.model, self.objective = model.to(self.device).eval(), self.cfg.task._name
        if self.objective not in ("metro_t5", "t5"):
            raise UserError(f"{run}: trained by --task {self.objective}; give a pretraining run")
        if self.objective == "metro_t5" and self.cfg.model.copy_mechanism:
            raise UserError(f"{run}: copies tokens, which T5 cannot; give a run without")
        self.whole = self.objective == "t5" and str(self.cfg.task.decoding_target) == "all"
        self.pad = self.task.source_dictionary.pad()

    def _tensor(self, rows):
        return torch.from_numpy(right_padded(rows, self.pad)).to(self.device)

    def ask(self, batch, seed):
        """The decoder's logits (M, V) float32 at the masked tokens of all blocks, in order, and
        X^noise (B, T) of METRO-T5, None of T5."""
        metro = self.objective == "metro_t5"
        blocks, start = [block.block for block in batch], self.task.pretraining_decoder_start
        targets = blocks if metro or self.whole else [block.target for block in batch]
        places = [block.positions if metro or self.whole else block.scored for block in batch]
        previous = self._tensor([np.append(start, tokens[:-1]) for tokens in targets])
        sources = blocks if metro else [block.source for block in batch]
        src = self._tensor(sources)
        index = torch.from_numpy(flat_index(places, previous.shape[1])).to(self.device)
        lengths = torch.tensor(list(map(len, sources)), device=self.device)
        if not metro:
            logits = self.model(src, lengths, previous, target_index=index)[0]
            return logits.float(), None
        src = src.flatten().index_fill(0, index, self.vocabulary.index("mask")).view_as(src)
        uniform = np.concatenate(
            [randomness.uniforms(seed, 1, block.index, block.positions) for block in batch]
        )
        out = self.model(
            src, lengths, previous, masked_index=index,
            uniform=torch.from_numpy(uniform).to(self.device),
        )  # fmt: skip
        return out.clm_logits.float(), out.src_noise


def score(model, blocks, pattern, seed=1):
    """What a :class:`Model` knows of the masked tokens of ``blocks``: dict.

    tokens, hits: ints; accuracy, loss (nats a token) among ordinary tokens; accuracy_any among all
    symbols; commonest: the majority baseline over masked tokens; replaced: share that the
    auxiliary model wrote wrongly; accuracy_replaced: on these; groups: [tokens, hits] of each
    :data:`GROUP` blocks in a row.
    """
    dictionary, vocabulary = model.task.source_dictionary, model.vocabulary
    ordinary, sentinels = model.task.ordinary_tokens(), np.array(vocabulary.sentinel_indices)
    end = vocabulary.index("end_of_target")
    shared = []
    for index, block in enumerate(blocks):
        masked = choose(pattern, index, ordinary[block], len(sentinels), seed)
        shared.append(shared_targets(index, block, masked, sentinels, end))
    assert not any(
        (shared_block.block[shared_block.positions] < dictionary.nspecial).any()
        for shared_block in shared
    )
    order = sorted(range(len(shared)), key=lambda i: len(shared[i].block))
    special = torch.from_numpy(~ordinary).to(model.device)
    right, total, any_right, wrong, wrong_right = {}, 0.0, 0, 0, 0
    for start in range(0, len(order), BATCH):
        batch = [shared[i] for i in order[start : start + BATCH] if len(shared[i].positions)]
        if not batch:
            continue
        gold = torch.from_numpy(
            np.concatenate([shared_block.block[shared_block.positions] for shared_block in batch])
        )
        gold = gold.to(model.device)
        with torch.inference_mode():
            logits, noise = model.ask(batch, seed)
        any_right += int((logits.argmax(-1) == gold).sum())
        log_p = logits.masked_fill(special, -torch.inf).log_softmax(-1)
        total -= log_p.double().gather(1, gold[:, None]).sum().item()
        hit = log_p.argmax(-1) == gold
        if noise is not None:
            positions = flat_index(
                [shared_block.positions for shared_block in batch], noise.shape[1]
            )
            replaced = noise.flatten()[torch.from_numpy(positions).to(model.device)] != gold
            wrong += int(replaced.sum())
            wrong_right += int((replaced & hit).sum())
        for shared_block, part in zip(
            batch, hit.split([len(shared_block.positions) for shared_block in batch]), strict=True
        ):
            right[shared_block.index] = (len(shared_block.positions), int(part.sum()))
    groups = Counter()
    for index, (tokens, hits) in right.items():
        groups[index // GROUP, 0] += tokens
        groups[index // GROUP, 1] += hits
    pairs = [[groups[g, 0], groups[g, 1]] for g in sorted({g for g, _ in groups})]
    tokens, hits = (sum(column) for column in zip(*pairs, strict=True))
    result = {"tokens": tokens, "hits": hits, "accuracy": hits / tokens, "loss": total / tokens}
    every = np.concatenate([shared_block.block[shared_block.positions] for shared_block in shared])
    result |= {"accuracy_any": any_right / tokens, "commonest": np.bincount(every).max() / tokens}
    if model.objective == "metro_t5":
        result["replaced"] = wrong / tokens
        result["accuracy_replaced"] = wrong_right / wrong if wrong else None
    return {**result, "groups": pairs}


def evaluate(run, text, seed=1, limit=None, device="cpu", patterns=PATTERNS):
    """A line for each pattern, as ``benchmarks/results/reproduction_spans.jsonl`` has them: dicts."""
    model = Model(run, device)
    dictionary = model.task.source_dictionary
    blocks = blocks_of(text, model.vocabulary, dictionary.bos(), dictionary.eos(), limit=limit)
    about = {
        "objective": model.objective, "seed": model.seed, "updates": model.updates,
        "vocabulary": model.vocabulary.hash[:12], "text": Path(text).name,
        "text_sha256": sha256_file(text)[:12], "blocks": len(blocks), "mask_seed": seed,
    }  # fmt: skip
    return [
        {**about, "pattern": pattern, **score(model, blocks, pattern, seed)} for pattern in patterns
    ]


def main(argv=None):
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN",
        help="Run directories or checkpoints of pretraining.")  # fmt: skip
    add("--text", type=Path, required=True, help="Held-out text in UTF-8.")
    add("--seed", type=int, default=1, help="Random seed of the masks (default: %(default)s).")
    add("--blocks", type=int, metavar="N", help="Use only the first N blocks (default: all).")
    add("--device", default="cpu", help="Device to run on (default: %(default)s).")
    add("--json", type=Path, metavar="FILE",
        help="File to append a line to for each run and masking pattern.")  # fmt: skip
    args = parser.parse_args(argv)
    for run in args.runs:
        for row in evaluate(run, args.text, args.seed, args.blocks, args.device):
            more = f"; {row['replaced']:.0%} of them replaced" if "replaced" in row else ""
            print(f"{run.name} {row['pattern']}: {row['accuracy']:.2%} of {row['tokens']:,} tokens, "
                  f"{row['loss']:.3f} nats{more}", flush=True)  # fmt: skip
            if args.json:
                with open(args.json, "a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
