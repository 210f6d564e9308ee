"""Speed of METRO-T5 pretraining: ours fused, compiled, in plain torch, and Hugging Face's T5 stacks.

    python benchmarks/pretrain_throughput.py --arch tiny small --json FILE.jsonl  (a CPU, one thread)
    python benchmarks/pretrain_throughput.py --arch base --batch 64 --json FILE   (a GPU)

All variants do the same work: auxiliary model, sampling, encoder, decoder, the three losses, clipping,
optimizer. ``huggingface`` has transformers' T5 encoders and decoder of the same sizes below heads and
losses in torch's own operations, which select the positions with a loss first; ``huggingface-all``
computes the decoder's logits at every position, as ``T5ForConditionalGeneration`` does, and keeps the
masked ones. ``ours-compiled`` is ours with its layers by torch.compile (``layers=compiled``), measured
where ``--variants`` asks for it, since its first step takes a minute. Variants take turns, a few steps
at a time, so that what else the machine does meets all alike. One that fails is a row with ``failed``,
the others go on, and the status is 1.

A row gives source tokens a second (median step; p20 and p80 beside it): on a GPU by the clock, on a
CPU by the process's own CPU time, which with one thread is the clock's on an idle machine and does
not count other programs. MFU (FLOPs of masked rows, see ``recipes.costs``) is against the GPU's
published peak, ``share_of_matmul`` against a matrix product measured in the same run.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import fairseq_metro  # noqa: E402

fairseq_metro.register()

from fairseq_metro.common.errors import UserError, run_command  # noqa: E402
from fairseq_metro.common.files import write_json  # noqa: E402
from fairseq_metro.common.logs import quieted  # noqa: E402
from fairseq_metro.common.recipes import choices  # noqa: E402
from fairseq_metro.common.stamp import commit  # noqa: E402
from fairseq_metro.criterions.metro_t5 import MetroT5Criterion  # noqa: E402
from fairseq_metro.kernels import choice  # noqa: E402
from fairseq_metro.models.metro_t5 import ARCHITECTURES, MetroT5Config, MetroT5Model  # noqa: E402
from fairseq_metro.models.metro_t5.initialization import initialize  # noqa: E402
from fairseq_metro.models.symbols import Symbols  # noqa: E402
from fairseq_metro.optim.fused_adam import FusedAdamW  # noqa: E402
from fairseq_metro.recipes.costs import flops_per_token  # noqa: E402
from fairseq_metro.recipes.parameters import VOCABULARY  # noqa: E402

try:
    import transformers

    from benchmarks.pretrain_rival import HuggingFaceMetro
except ImportError:  # our own variants can be measured without
    transformers = None

PEAK = {"H200": 989.0, "H100": 989.0, "A100": 312.0}  # TFLOP/s, bf16, dense
VARIANTS = ("ours-fused", "ours-reference", "huggingface", "huggingface-all")
COMPILED = "ours-compiled"
KERNELS = {"ours-fused": "auto", COMPILED: "layers=compiled"}
PAD, MASK = 1, 4


def build(variant, cfg, vocabulary):
    """A variant's model, with random weights of the same scale."""
    torch.manual_seed(1)
    if variant.startswith("ours"):
        model = MetroT5Model(cfg, Symbols(vocabulary))
    else:
        model = HuggingFaceMetro(cfg, vocabulary, variant == "huggingface-all")
    initialize(model)
    return model


def batch_of(vocabulary, batch, length, mask_prob, device):
    """A batch as the collater of METRO pretraining gives it: random tokens, no padding."""
    target = torch.randint(MASK + 1, vocabulary, (batch, length))
    masks = round(mask_prob * batch * length)
    index = torch.randperm(batch * length)[:masks].sort().values
    noised = target.flatten().index_fill(0, index, MASK).view_as(target)
    previous = target.roll(1, 1)
    previous[:, 0] = MASK
    net_input = dict(
        src_tokens=noised.to(device),
        src_lengths=torch.full((batch,), length, device=device),
        prev_output_tokens=previous.to(device),
        masked_index=index.to(device),
        uniform=torch.rand(masks, dtype=torch.float64).to(device),
        padded=False,
    )
    sizes = dict(n_masked=masks, ntokens=batch * length, nsentences=batch, masked_share=mask_prob)
    return dict(net_input=net_input, target=target.to(device), **sizes)


class Training:
    """One variant in training; ``step`` is one whole update."""

    def __init__(self, variant, cfg, vocabulary, batch, device, dtype):
        self.variant, self.batch, self.device = variant, batch, device
        self.kernels = KERNELS.get(variant, "reference")
        self.model = build(variant, cfg, vocabulary).to(device, dtype).train()
        self.optimizer = FusedAdamW(self.model.parameters(), lr=1e-4)
        task = SimpleNamespace(
            recipe_choices=choices("paper", "base"),
            commonest_token=5,
            source_dictionary=Symbols(vocabulary),
        )
        self.criterion = MetroT5Criterion(task, 50.0, 1.0, "recipe")
        self.times, self.parts, self.memory = [], {}, None

    def choose(self):
        """Set this variant's kernels for what follows."""
        os.environ[choice.VARIABLE] = self.kernels
        choice.forget()
        self.now = clock(self.device)

    def step(self, mark=lambda part: None):
        loss, size, _ = self.criterion(self.model, self.batch)
        mark("forward")
        (loss / size).backward()
        mark("backward")
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0, foreach=self.device == "cuda")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        mark("optimizer")

    def measure(self, steps):
        for _ in range(steps):
            start = self.now()
            self.step()
            self.times.append(self.now() - start)

    def measure_parts(self, steps):
        """Milliseconds of each part, waiting for the device after every one: medians."""
        found, hooks = {}, []
        for name in ("auxiliary", "encoder", "decoder"):
            part = getattr(self.model, name)
            method = "extract_features" if hasattr(part, "extract_features") else "forward"
            hooks.append(watch(part, method, found.setdefault(name, []), self.now))
        for _ in range(steps):
            last = [self.now()]

            def mark(part, last=last):
                found.setdefault(part, []).append(self.now() - last[-1])
                last.append(self.now())

            self.step(mark)
        for undo in hooks:
            undo()
        self.parts = {name: 1e3 * statistics.median(times) for name, times in found.items()}
        inner = sum(self.parts[name] for name in ("auxiliary", "encoder", "decoder"))
        self.parts["heads and losses"] = self.parts.pop("forward") - inner


def clock(device):
    """Seconds as a function: on a GPU by the clock once the device is done, else CPU time."""

    def now():
        torch.cuda.synchronize()
        return time.perf_counter()

    return now if device == "cuda" else time.process_time


def watch(owner, method, times, now):
    """Time every call of a module's method; returns what puts the method back."""
    plain = getattr(owner, method)

    def timed(*inputs, **options):
        start = now()
        out = plain(*inputs, **options)
        times.append(now() - start)
        return out

    setattr(owner, method, timed)
    return lambda: delattr(owner, method)


def product_speed(device, dtype, size):
    """TFLOP/s of a plain square matrix product: the median of 20."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times, now = [], clock(device)
    for _ in range(25):
        start = now()
        a @ b
        times.append(now() - start)
    return 2 * size**3 / statistics.median(times[5:]) / 1e12


def measured(arch, args, device, dtype):
    """Rows of one architecture."""
    sizes = {**ARCHITECTURES[arch], "dropout": args.dropout, "attention_dropout": args.dropout}
    cfg = MetroT5Config(**sizes)
    vocabulary = args.vocab_size or VOCABULARY[arch]
    batch = batch_of(vocabulary, args.batch, args.length, 0.15, device)
    wanted = [name for name in args.variants if device == "cuda" or name != "ours-fused"]
    if transformers is None:
        wanted = [name for name in wanted if name.startswith("ours")]
    runs, failed = [], {}
    for name in wanted:
        with noted(name, failed):
            runs.append(warmed_up(name, cfg, vocabulary, batch, device, dtype, args.warmup))
    began = time.monotonic()
    for number in range(args.rounds):
        if number and time.monotonic() - began > args.seconds:
            break
        each(runs, failed, lambda run: run.measure(args.steps))
    each(runs, failed, lambda run: run.measure_parts(args.steps))
    flops = flops_per_token("metro", cfg, args.length, vocabulary)
    plain = product_speed(device, dtype, 8192 if device == "cuda" else 1024)
    where = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU"
    peak = next((peak for name, peak in PEAK.items() if name in where), None)
    facts = dict(
        arch=arch,
        device=where,
        dtype=str(dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        batch=args.batch,
        length=args.length,
        vocabulary=vocabulary,
        dropout=args.dropout,
        mflop_per_token=round(flops / 1e6, 3),
        matmul_tflops=round(plain, 4),
        torch=torch.__version__,
        transformers=getattr(transformers, "__version__", None),
        python=platform.python_version(),
        load=[round(x, 1) for x in os.getloadavg()],  # of the machine over 1, 5, 15 minutes
        commit=commit(),
    )
    rows = [row(run, args, flops, plain, peak, facts) for run in runs if run.variant not in failed]
    return rows + [
        {"name": named(name, arch, device), "failed": why, **facts} for name, why in failed.items()
    ]


def named(variant, arch, device):
    """A row's name."""
    return f"{'gpu' if device == 'cuda' else 'cpu'} {arch} {variant}"


@contextmanager
def noted(name, failed):
    """What a variant dies of is said and kept by its name, so that the others are measured."""
    try:
        yield
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]}"
        print(f"{name} failed: {failed[name]}", file=sys.stderr)


def each(runs, failed, what):
    """Do something with every run that has not failed, its kernels chosen."""
    for run in runs:
        if run.variant not in failed:
            with noted(run.variant, failed):
                run.choose()
                what(run)


def warmed_up(name, cfg, vocabulary, batch, device, dtype, steps):
    """A variant after the steps that are not timed, with the memory it took on a GPU."""
    held = 0  # by the variants before
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
    run = Training(name, cfg, vocabulary, batch, device, dtype)
    run.choose()
    for _ in range(steps):
        run.step()
    if device == "cuda":
        run.memory = (torch.cuda.max_memory_allocated() - held) / 2**30
    return run


def row(run, args, flops, plain, peak, facts):
    """One row of the result."""
    times = sorted(run.times)
    median, tokens = statistics.median(times), args.batch * args.length
    done = tokens / median * flops / 1e12
    return {
        "name": named(run.variant, facts["arch"], run.device),
        "tokens_per_second": round(tokens / median, 1),
        "step_ms": round(1e3 * median, 3),
        "p20_ms": round(1e3 * times[len(times) // 5], 3),
        "p80_ms": round(1e3 * times[len(times) * 4 // 5], 3),
        "steps": len(times),
        "tflops": round(done, 4),
        "mfu": None if peak is None else round(done / peak, 4),
        "share_of_matmul": round(done / plain, 4),
        "peak_memory_gib": None if run.memory is None else round(run.memory, 3),
        "parts_ms": {name: round(value, 3) for name, value in run.parts.items()},
        **facts,
    }


def show(rows):
    """The rows as text: speed, ratio to ``huggingface``, spread, parts."""
    base = {r["arch"]: r for r in rows if r["name"].endswith(" huggingface")}
    for r in rows:
        theirs = base.get(r["arch"])
        ratio = f"{theirs['step_ms'] / r['step_ms']:.2f}x" if theirs else "-"
        parts = ", ".join(f"{name} {value:.1f}" for name, value in r["parts_ms"].items())
        mfu = "" if r["mfu"] is None else f", MFU {100 * r['mfu']:.1f} %"
        print(
            f"{r['name']:30} {r['tokens_per_second']:12,.0f} tokens/s {ratio:>6}  "
            f"{r['step_ms']:.1f} ms ({r['p20_ms']:.1f} to {r['p80_ms']:.1f}), "
            f"{100 * r['share_of_matmul']:.0f} % of a matrix product{mfu}; ms: {parts}"
        )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", nargs="+", default=["tiny", "small"], choices=ARCHITECTURES)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=[*VARIANTS, COMPILED])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=8, help="Number of sequences in a batch.")
    parser.add_argument("--length", type=int, default=0,
        help="Length of a sequence in tokens (default: 128 on a CPU, 512 on a GPU).")  # fmt: skip
    parser.add_argument("--vocab-size", type=int, default=0,
        help="Size of the vocabulary (default: the architecture's).")  # fmt: skip
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--warmup", type=int, default=5, help="Number of untimed warm-up steps.")
    parser.add_argument("--rounds", type=int, default=10,
        help="Number of rounds, each of which runs every variant.")  # fmt: skip
    parser.add_argument("--steps", type=int, default=6,
        help="Number of steps per variant in a round.")  # fmt: skip
    parser.add_argument(
        "--seconds",
        type=float,
        default=math.inf,
        help="Do not start another round after this time.",
    )
    parser.add_argument("--threads", type=int, default=1,
        help="Number of CPU threads; see the README.")  # fmt: skip
    parser.add_argument("--json", type=Path,
        help="File to write the rows to; rows are appended to a .jsonl file.")  # fmt: skip
    args = parser.parse_args(argv)
    if args.device not in ("cpu", "cuda"):
        raise UserError(f"--device {args.device}: must be cpu or cuda")
    torch.set_num_threads(args.threads)
    args.length = args.length or (512 if args.device == "cuda" else 128)
    dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    rows = []
    for arch in args.arch:
        with quieted("fairseq_metro"):
            rows += measured(arch, args, args.device, dtype)
        show([r for r in rows if r["arch"] == arch and "failed" not in r])
        if args.json and args.json.suffix == ".jsonl":
            with args.json.open("a", encoding="utf-8") as stream:
                stream.writelines(json.dumps(r) + "\n" for r in rows if r["arch"] == arch)
        elif args.json:
            write_json(args.json, rows)
    return 1 if any("failed" in r for r in rows) else 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
