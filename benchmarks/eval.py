#!/usr/bin/env python3
"""Rank classification of T0 Eval's mix: inputs encoded once, against the usual repeated-input loop.

    python benchmarks/eval.py [--size base] [--prompts N] [--repeats N] [--device cuda] [--json FILE]

Random tokens with the lengths and numbers of choices of T0 Eval's sets (typical ones, log-normal
around them), each set with its share of the 115,688 prompts. The same weights three times:

ours      fairseq_metro.scoring.score_choices, a set at a time as the runner does it
usual     transformers' T5 in the loop of METRO-T0's and T0's evaluation: every input repeated for
          each of its choices, batches of 8 inputs in their order, logits of all positions, float32
repeated  that loop with our model's forward: what is left is the way, not the implementation

How far their forward pass is from ours is their attention: transformers 5 has torch's fused one for
T5, as we do; up to 4 it is unfused, which costs the more the narrower the model is.

A row says seconds of each (of processor time on a CPU: other work on the machine does not count), by
part, peak memory above the model's, tokens per second of one equal forward pass of both models, and
whether all predictions are equal where the best two scores differ by more than 1e-4. The ways take
turns, --repeats times: a row has medians, and of each ratio the median and, as its spread, the least
and the greatest over the turns. forward_ratio: theirs over ours, of neighbouring forward passes.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq.data import Dictionary

from benchmarks.eval_mix import VOCABULARY, draw
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import atomic_write
from fairseq_metro.common.stamp import commit
from fairseq_metro.interchange.hf_t5_keys import to_theirs
from fairseq_metro.models.hf_t5 import ARCHITECTURES, HfT5Config, HfT5Model
from fairseq_metro.scoring import best, score_choices
from fairseq_metro.scoring.choices import MAX_TOKENS
from fairseq_metro.vocabulary.hf_t5 import Rows

PAD, START, BATCH = 1, 1, 8
SAME = 1e-4


def build(size, device):
    """Our model with random weights, and transformers' with the same; ids of theirs by ours."""
    from transformers import T5Config, T5ForConditionalGeneration

    dictionary = Dictionary()
    for i in range(VOCABULARY - len(dictionary)):
        dictionary.add_symbol(f"w{i}")
    torch.manual_seed(0)
    config = HfT5Config(**ARCHITECTURES[size], dropout=0.0, attention_dropout=0.0)
    task = SimpleNamespace(source_dictionary=dictionary)
    ours = HfT5Model.build_model(config, task).to(device).eval()
    rows = Rows(VOCABULARY, bos=VOCABULARY - 1, pad=0, eos=1, unk=2)
    theirs = T5ForConditionalGeneration(
        T5Config(
            vocab_size=VOCABULARY, d_model=config.embed_dim, d_kv=config.head_dim,
            d_ff=config.ffn_dim, num_layers=config.encoder_layers,
            num_decoder_layers=config.decoder_layers, num_heads=config.attention_heads,
            feed_forward_proj=str(config.activation), tie_word_embeddings=not config.untied_output,
            decoder_start_token_id=0,
        )
    )  # fmt: skip
    named = to_theirs(
        {key: value.cpu() for key, value in ours.state_dict().items()}, vars_of(config), rows
    )
    missing, unknown = theirs.load_state_dict(named, strict=False)
    tied = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}
    if unknown or set(missing) - tied:
        raise UserError(f"transformers' T5 does not take {unknown}, lacks {missing}")
    theirs.tie_weights()
    return ours, theirs.to(device).eval(), torch.tensor(rows.order)


def vars_of(config):
    return {name: getattr(config, name) for name in config.__dataclass_fields__ if name[0] != "_"}


# The ways


def shared_way(model, sets, max_tokens):
    """score_choices, a set at a time."""
    return {
        name: score_choices(
            model, inputs, choices, pad=PAD, decoder_start=START, max_tokens=max_tokens
        )
        for name, (inputs, choices) in sets.items()
    }


@torch.no_grad()
def repeated_way(forward, sets, device, pad=PAD, start=START):
    """Section 3.1 of the published evaluation: batches of 8, inputs repeated, sums of log-softmax.

    forward: (sources (B, T), mask (B, T), previous tokens (B, S)) -> logits (B, S, V).
    """
    found = {}
    for name, (inputs, choices) in sets.items():
        scores = []
        for first in range(0, len(inputs), BATCH):
            batch = range(first, min(first + BATCH, len(inputs)))
            count = len(choices[first])
            sources = padded([inputs[i] for i in batch for _ in range(count)], device, pad)
            targets = padded([choice for i in batch for choice in choices[i]], device, pad)
            prev = torch.cat([torch.full_like(targets[:, :1], start), targets[:, :-1]], dim=1)
            logits = forward(sources, sources.ne(pad), prev)
            log_p = logits.float().log_softmax(-1).gather(2, targets.unsqueeze(2)).squeeze(2)
            summed = log_p.masked_fill(targets.eq(pad), 0.0).sum(1).view(-1, count).cpu()
            scores += list(summed)
        found[name] = scores
    return found


def padded(rows, device, pad):
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad).to(device)


def their_forward(model):
    """transformers' model as a function of its own ids."""

    def forward(sources, mask, prev):
        return model(
            input_ids=sources, attention_mask=mask.long(), decoder_input_ids=prev, use_cache=False
        ).logits

    return forward


def in_their_ids(sets, order):
    """The same examples in transformers' ids."""
    return {
        name: ([order[row] for row in inputs], [[order[row] for row in each] for each in choices])
        for name, (inputs, choices) in sets.items()
    }


def our_forward(model):
    return lambda sources, mask, prev: model(sources, mask.sum(1), prev)[0]


# Measuring


class Clock:
    """Seconds of the device's own work: processor time on a CPU, wall time after waiting on a GPU."""

    def __init__(self, device):
        self.gpu = device.type == "cuda"

    def __call__(self):
        if self.gpu:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()


def measured(way, parts, clock):
    """(scores, seconds, {part: seconds}, peak bytes above what was held before).

    parts: {name: (owner, method)}, whose calls are timed while the way runs.
    """
    before = reset_peak(clock.gpu)
    with timed(parts, clock) as spent:
        started = clock()
        scores = way()
        seconds = clock() - started
    spent["rest"] = seconds - sum(spent.values())
    return scores, seconds, spent, peak(clock.gpu) - before


@contextmanager
def timed(parts, clock):
    """{part: seconds} of what is called within the block."""
    spent = dict.fromkeys(parts, 0.0)
    kept = {name: getattr(owner, method) for name, (owner, method) in parts.items()}

    def clocked(name):
        def call(*args, **kwargs):
            started = clock()
            try:
                return kept[name](*args, **kwargs)
            finally:
                spent[name] += clock() - started

        return call

    for name, (owner, method) in parts.items():
        setattr(owner, method, clocked(name))
    try:
        yield spent
    finally:
        for name, (owner, method) in parts.items():
            setattr(owner, method, kept[name])


def reset_peak(gpu):
    if gpu:
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    return peak(gpu)


def peak(gpu):
    if gpu:
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def forward_passes(forwards, device, clock, repeats):
    """(source tokens, {name: seconds of each pass}) of equal passes in turns: 16 inputs of 128, targets
    of 8."""
    generator = torch.Generator().manual_seed(1)
    sources = torch.randint(4, VOCABULARY, (16, 128), generator=generator).to(device)
    prev = torch.randint(4, VOCABULARY, (16, 8), generator=generator).to(device)
    seconds = {name: [] for name in forwards}
    with torch.no_grad():
        for _ in range(repeats + 1):
            for name, forward in forwards.items():
                started = clock()
                forward(sources, sources.ne(PAD), prev)
                seconds[name].append(clock() - started)
    return sources.numel(), {name: each[1:] for name, each in seconds.items()}


def ratio(numerators, denominators):
    """Of turns: {"median", "least", "greatest"} of the ratio."""
    each = [one / other for one, other in zip(numerators, denominators, strict=True)]
    found = {"median": statistics.median(each), "least": min(each), "greatest": max(each)}
    return {name: round(value, 3) for name, value in found.items()}


def disagreements(ours, theirs):
    """(largest difference of scores, predictions that differ, of these with a margin above 1e-4)."""
    largest, differ, clear = 0.0, 0, 0
    for name in ours:
        for row, other in zip(ours[name], theirs[name], strict=True):
            largest = max(largest, (row - other).abs().max().item())
            if best([row]) != best([other]):
                differ += 1
                top = other.topk(2).values
                clear += bool(top[0] - top[1] > SAME)
    return largest, differ, clear


def prefix_bound(sets, parts):
    """(share of target positions that repeat a prefix of another choice of their input, the share of
    our time that computing each prefix once could save at most)."""
    positions = distinct = 0
    for _, choices in sets.values():
        for each in choices:
            lines = [tuple(choice.tolist()) for choice in each]
            positions += sum(map(len, lines))
            distinct += len({line[:end] for line in lines for end in range(len(line))})
    repeated = 1 - distinct / positions
    share = (parts["decoder"] + parts["vocabulary"]) / sum(parts.values())
    return round(repeated, 4), round(repeated * share, 4)


def row(args, device):
    """Everything measured once: dict."""
    clock = Clock(device)
    ours, theirs, order = build(args.size, device)
    sets = draw(args.prompts, args.seed)
    their_way, their_sets = their_forward(theirs), in_their_ids(sets, order)
    ways = {
        "ours": lambda: shared_way(ours, sets, args.max_tokens),
        "usual": lambda: repeated_way(their_way, their_sets, device, pad=0, start=0),
        "repeated": lambda: repeated_way(our_forward(ours), sets, device),
    }
    length, passes = forward_passes(
        {"ours": our_forward(ours), "usual": their_way}, device, clock, args.repeats
    )
    our_parts = {
        "encoder": (ours.encoder, "forward"), "decoder": (ours.decoder, "extract_features"),
        "vocabulary": (ours.decoder, "output_layer"),
    }  # fmt: skip
    their_parts = {
        "encoder": (theirs.encoder, "forward"), "decoder": (theirs.decoder, "forward"),
        "vocabulary": (theirs.lm_head, "forward"),
    }  # fmt: skip
    wanted = {"ours": our_parts, "usual": their_parts, "repeated": our_parts}
    scores, memory = {}, dict.fromkeys(ways, 0)
    seconds, parts = {name: [] for name in ways}, {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, way in ways.items():
            scores[name], spent, by_part, held = measured(way, wanted[name], clock)
            seconds[name].append(spent)
            parts[name].append(by_part)
            memory[name] = max(memory[name], held)
    largest, differ, clear = disagreements(scores["ours"], scores["usual"])
    middle = {
        way: {part: statistics.median(one[part] for one in each) for part in each[0]}
        for way, each in parts.items()
    }
    prompts = sum(len(inputs) for inputs, _ in sets.values())
    repeated, bound = prefix_bound(sets, middle["ours"])
    return {
        "benchmark": "eval", "size": args.size, "prompts": prompts,
        "pairs": sum(len(c) for _, choices in sets.values() for c in choices),
        "seconds": {name: round(statistics.median(each), 3) for name, each in seconds.items()},
        "usual_over_ours": ratio(seconds["usual"], seconds["ours"]),
        "repeated_over_ours": ratio(seconds["repeated"], seconds["ours"]),
        "usual_over_repeated": ratio(seconds["usual"], seconds["repeated"]),
        "forward_tokens_per_second": {
            name: round(length / statistics.median(each)) for name, each in passes.items()
        },
        "forward_ratio": ratio(passes["usual"], passes["ours"]),
        "parts": {way: {k: round(v, 3) for k, v in each.items()} for way, each in middle.items()},
        "peak_megabytes": {name: round(held / 2**20, 1) for name, held in memory.items()},
        "repeated_prefixes": repeated, "saved_by_sharing_prefixes_at_most": bound,
        "largest_difference": largest, "predictions_that_differ": differ,
        "of_these_with_a_margin": clear, "max_tokens": args.max_tokens, "repeats": args.repeats,
        "device": torch.cuda.get_device_name() if clock.gpu else platform.processor() or "cpu",
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "transformers": version("transformers"),
        "their_attention": theirs.config._attn_implementation, "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", choices=ARCHITECTURES, default="small", help="Size of the T5 (default: small).")
    add("--prompts", type=int, default=120, help="Approximate number of prompts (default: 120).")
    add("--repeats", type=int, default=3,
        help="Number of timed runs, of which the median is reported (default: 3).")  # fmt: skip
    add("--seed", type=int, default=1)
    add("--max-tokens", type=int, default=MAX_TOKENS,
        help="Maximum number of tokens in one of our batches (default: %(default)s).")  # fmt: skip
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--json", type=Path, metavar="FILE", help="File to append the result to.")
    args = parser.parse_args(argv)
    if args.prompts < 1 or args.repeats < 1:
        raise UserError("--prompts and --repeats must be at least 1")
    found = row(args, torch.device(args.device))
    print(json.dumps(found, indent=2))
    if args.json:
        before = args.json.read_text("utf-8") if args.json.exists() else ""
        with atomic_write(args.json) as stream:
            stream.write(before + json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
