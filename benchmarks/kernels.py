"""Each fused operation against what else there is, side by side in one run.

    python benchmarks/kernels.py                       on a GPU: METRO-T5 base's shapes, bfloat16
    python benchmarks/kernels.py --seconds 60          stop opening new rows after that time

Forward and backward together. Attention: ours fused, in eager torch and compiled, every backend of
torch's scaled_dot_product_attention by name, FlexAttention. Residual + dropout + LayerNorm and head +
loss: ours, eager, compiled, and apex or Liger where they are installed. A row that cannot run says
why. Rows begin with ``cpu`` or ``gpu`` and are appended to ``benchmarks/results/kernels.jsonl`` one
by one, each with versions, device, load, median, spread and extra memory; what torch.compile has to
make comes last. Without a GPU: what training on a CPU runs, beside torch's own, at small sizes, by the
process's CPU time; Triton's interpreter is for tests and is not timed.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.kernel_problems import USES, Attention, HeadLoss, ResidualNorm  # noqa: E402
from fairseq_metro.common.errors import run_command  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "kernels.jsonl"


SLEEP = 4_000_000  # cycles of a GPU, about 2 ms


def timed(function, on_gpu, repeats):
    """Seconds of each of ``repeats`` runs after warm-up; the L2 cache is flushed between runs."""
    for _ in range(3):
        function()
    if not on_gpu:
        spent = []
        for _ in range(repeats):
            began = time.process_time()
            function()
            spent.append(time.process_time() - began)
        return spent
    flush = torch.empty(256 * 2**20, dtype=torch.int8, device="cuda")
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for begin, end in events:
        flush.zero_()
        torch.cuda._sleep(SLEEP)  # meanwhile the host has handed over the whole step
        begin.record()
        function()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) / 1000 for begin, end in events]


def measure(problem, version, on_gpu, repeats):
    """A row's numbers; a version that cannot run says why."""
    try:
        memory = {}
        if on_gpu:
            problem.step(version)
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            problem.step(version)
            memory["extra_mib"] = round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)
        spent = timed(lambda: problem.step(version), on_gpu, repeats)
    except Exception as error:  # any backend's refusal is a result
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return {"refused": f"{type(error).__name__}: {first[:200]}"}
    median = statistics.median(spent)
    low, high = (sorted(spent)[int(len(spent) * part)] for part in (0.1, 0.9))
    return {
        "ms": round(median * 1e3, 4),
        "ms_10_90": [round(low * 1e3, 4), round(high * 1e3, 4)],
        **speed(problem, median),
        "repeats": repeats,
        **memory,
    }


def speed(problem, seconds):
    """What a step is at least, a second: TFLOP/s, or GB/s of what memory bounds."""
    if hasattr(problem, "flops"):
        return {"tflops": round(problem.flops / seconds / 1e12, 4)}
    return {"gb_per_s": round(problem.bytes / seconds / 1e9, 2)}


def about(on_gpu):
    """Device and versions, for every row."""
    name = torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine()
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    try:
        import triton

        versions["triton"] = triton.__version__
    except ImportError:
        versions["triton"] = None
    load = None if on_gpu else [round(x, 1) for x in os.getloadavg()]
    return {"device": name, "threads": torch.get_num_threads(), "load": load, **versions}


def plan(on_gpu):
    """(operation, class, use, sizes, dropout) of every problem, those that matter most first."""
    if on_gpu:
        heads, rows, head = (
            [(64, 512, 12, 64), (16, 512, 16, 64)],
            [(32768, 768)],
            (9830, 768, 33280),
        )
    else:
        heads, rows, head = (
            [(8, 128, 2, 32), (8, 128, 2, 64)],
            [(1024, 64), (1024, 128)],
            (154, 128, 8133),
        )
    for sizes in heads:
        for dropout in (0.1, 0.0):
            for use in USES:
                yield "attention", Attention, use, sizes, dropout
    for sizes in rows:
        yield "residual_norm", ResidualNorm, "post", sizes, 0.1
    for use in ("auxiliary", "corrective"):
        yield "head_loss", HeadLoss, use, head, 0.0


LATE = ("compiled", "flex")  # made by torch.compile, tens of seconds each


def rows(on_gpu, device, dtype):
    """(row's name, sizes, dropout, problem, version), what is made first coming first."""
    for late in (False, True):
        for operation, kind, use, sizes, dropout in plan(on_gpu):
            torch.manual_seed(1)
            problem = kind(use, sizes, dropout, device, dtype)
            for name, version in problem.versions(on_gpu).items():
                if (name in LATE) is late:
                    # It gives up on a function after its eighth variant, and all share one here.
                    torch._dynamo.reset()
                    row = f"{device.replace('cuda', 'gpu')} {operation} {use}, {name}"
                    yield row, sizes, dropout, problem, version


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=600, help="Do not start another row after this time."
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="File to append the rows to.")
    parser.add_argument("--repeats", type=int,
        help="Number of timed runs per row (GPU: 50, CPU: 30).")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1,
        help="Number of CPU threads; see the README.")  # fmt: skip
    options = parser.parse_args(argv)
    on_gpu, began = torch.cuda.is_available(), time.monotonic()
    device, dtype = ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
    repeats = options.repeats or (50 if on_gpu else 30)
    torch.set_num_threads(options.threads)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for row, sizes, dropout, problem, version in rows(on_gpu, device, dtype):
        if time.monotonic() - began > options.seconds:
            print(f"stopped before {row}: {options.seconds:.0f} s are over", flush=True)
            return 0
        found = measure(problem, version, on_gpu, repeats)
        line = {"row": row, "shape": sizes, "dropout": dropout, **found, **about(on_gpu)}
        with options.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        print(row, sizes, f"dropout {dropout}:", found, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
