"""Each fused operation against what else there is, side by side in one run.

    python benchmarks/kernels.py                       on a GPU: METRO-T5 base's shapes, bfloat16
    python benchmarks/kernels.py --seconds 60          stop opening new rows after that time

Attention, forward and backward together: ours fused, ours in eager torch and compiled, every backend
of torch's scaled_dot_product_attention by name, FlexAttention. A row that a backend cannot run says
why. Rows begin with ``cpu`` or ``gpu`` and are appended to ``benchmarks/results/kernels.jsonl`` one
by one, each with versions, device, median, spread and extra memory. Without a GPU only torch's own
rows are run, at small sizes; Triton's interpreter is for tests and is not timed.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402

from fairseq_metro.errors import run_command  # noqa: E402
from fairseq_metro.kernels.attention import attention_fused, attention_reference  # noqa: E402
from fairseq_metro.modules.attention import hide  # noqa: E402
from fairseq_metro.modules.relative_position import RelativePositionBias  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "kernels.jsonl"
BACKENDS = {
    "sdpa efficient": SDPBackend.EFFICIENT_ATTENTION,
    "sdpa flash": SDPBackend.FLASH_ATTENTION,
    "sdpa cudnn": SDPBackend.CUDNN_ATTENTION,
    "sdpa math": SDPBackend.MATH,
}
USES = {  # bias, padding, causal, cross
    "encoder": (True, True, False, False),
    "encoder, no padding": (True, False, False, False),
    "decoder": (False, False, True, False),
    "cross": (False, True, False, True),
}


class Problem:
    """Inputs of one attention, and each version as a function of them."""

    def __init__(self, use, sizes, dropout, device, dtype):
        batch, length, heads, dim = sizes
        self.bias, padded, self.causal, self.cross = USES[use]
        self.dropout, self.length = dropout, length
        fresh = dict(device=device, dtype=dtype)
        self.query = torch.randn(batch, length, 1 if self.cross else 3, heads, dim, **fresh)
        self.memory = torch.randn(batch, length, 2, heads, dim, **fresh) if self.cross else None
        self.gradient = torch.randn(batch, length, heads, dim, **fresh)
        self.positions = RelativePositionBias(32, 128, heads, length).to(**fresh)
        torch.nn.init.normal_(self.positions.weight)
        self.padding = None
        if padded:  # right-padded by up to a tenth
            lengths = torch.randint(length * 9 // 10, length + 1, (batch, 1), device=device)
            self.padding = torch.arange(length, device=device) >= lengths
        self.changed = [x for x in (self.query, self.memory) if x is not None]
        self.changed += [self.positions.weight] if self.bias else []
        for x in self.changed:
            x.requires_grad_()
        products = 7 if torch.is_grad_enabled() else 2  # of a forward and a backward pass
        self.flops = products * 2 * batch * heads * length**2 * dim * (0.5 if self.causal else 1)

    def parts(self):
        source = self.query if self.memory is None else self.memory
        chosen = (self.query[:, :, 0], source[:, :, -2], source[:, :, -1])
        return [x.transpose(1, 2) for x in chosen]

    def ours(self, version):
        positions = self.positions
        options = dict(key_padding_mask=self.padding, causal=self.causal, dropout=self.dropout)
        if self.bias:
            options.update(table=positions.weight, bucket=positions.near)
        return version(self.query, self.memory, **options)

    def added(self):
        """Bias and padding as torch's attention takes them."""
        mask = None
        if self.bias:
            mask = self.positions(self.length).unsqueeze(0)
        return mask if self.padding is None else hide(mask, self.padding[:, None, None, :])

    def sdpa(self, backend):
        with sdpa_kernel([backend]):
            q, k, v = self.parts()
            out = torch.nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask=self.added(), dropout_p=self.dropout, is_causal=self.causal
            )
        return out.transpose(1, 2)

    def flex(self):
        from torch.nn.attention.flex_attention import flex_attention

        if self.dropout:
            raise RuntimeError("FlexAttention has no dropout")
        table, bucket, padding = self.positions.weight, self.positions.near, self.padding
        reach = bucket.numel() // 2

        def score(s, b, h, i, j):
            if self.bias:
                s = s + table[bucket[(j - i).clamp(-reach, reach) + reach], h]
            if padding is not None:
                s = torch.where(padding[b, j], -float("inf"), s)
            return torch.where(j > i, -float("inf"), s) if self.causal else s

        compiled = torch.compile(flex_attention, dynamic=False)
        return compiled(*self.parts(), score_mod=score).transpose(1, 2)

    def versions(self, on_gpu):
        compiled = torch.compile(lambda: self.ours(attention_reference), dynamic=False)
        rows = {"eager": lambda: self.ours(attention_reference)}
        if on_gpu:
            rows = {"fused": lambda: self.ours(attention_fused), **rows, "compiled": compiled}
            rows["flex"] = self.flex
        for name, backend in BACKENDS.items():
            if on_gpu or name in ("sdpa math", "sdpa flash"):
                rows[name] = lambda backend=backend: self.sdpa(backend)
        return rows

    def step(self, version):
        """A forward and a backward pass."""
        for x in self.changed:
            x.grad = None
        version().backward(self.gradient)


def timed(function, on_gpu, repeats):
    """Seconds of each of ``repeats`` runs after warm-up; the L2 cache is flushed between runs."""
    for _ in range(3):
        function()
    if not on_gpu:
        spent = []
        for _ in range(repeats):
            began = time.perf_counter()
            function()
            spent.append(time.perf_counter() - began)
        return spent
    flush = torch.empty(256 * 2**20, dtype=torch.int8, device="cuda")
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for begin, end in events:
        flush.zero_()
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
        "tflops": round(problem.flops / median / 1e12, 2),
        "repeats": repeats,
        **memory,
    }


def about(on_gpu):
    """Device and versions, for every row."""
    name = torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine()
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    try:
        import triton

        versions["triton"] = triton.__version__
    except ImportError:
        versions["triton"] = None
    return {"device": name, "threads": torch.get_num_threads(), **versions}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=600, help="open no new row after this time"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="file that rows are appended to")
    parser.add_argument("--repeats", type=int, help="timed runs of a row (GPU: 50, CPU: 5)")
    options = parser.parse_args(argv)
    on_gpu, began = torch.cuda.is_available(), time.monotonic()
    device, dtype = ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
    # batch, length, heads, width of a head
    shapes = [(64, 512, 12, 64), (16, 512, 16, 64)] if on_gpu else [(2, 128, 2, 32)]
    repeats = options.repeats or (50 if on_gpu else 5)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    common = about(on_gpu)
    for sizes in shapes:
        for use in USES:
            for dropout in (0.1, 0.0):
                problem = Problem(use, sizes, dropout, device, dtype)
                for name, version in problem.versions(on_gpu).items():
                    if time.monotonic() - began > options.seconds:
                        return 0
                    row = f"{device.replace('cuda', 'gpu')} attention {use}, {name}"
                    found = measure(problem, version, on_gpu, repeats)
                    line = {"row": row, "shape": sizes, "dropout": dropout, **found, **common}
                    with options.out.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(line) + "\n")
                    print(row, sizes, f"dropout {dropout}:", found, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
