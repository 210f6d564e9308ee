"""Estimate the cost of a pretraining run before it starts: ``python -m fairseq_metro.recipes.plan``.

    python -m fairseq_metro plan --size base --processes 8 --gpu a100-40 -- --bf16
    PLAN=1 DATA=data-bin/mine bash train_scripts/pretrain_metro.sh --bf16

Everything said is an estimate; the formulas are in ``fairseq_metro/recipes/costs.py``. What stands
after ``--`` are options of fairseq-train.
"""

from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.recipes import costs
from fairseq_metro.recipes.batches import real_tokens
from fairseq_metro.recipes.gpus import GPUS, gpu_named, gpu_of
from fairseq_metro.recipes.memory import (
    RESERVED,
    memory_of,
    precision_of,
    resolved,
    target_share,
    vocabulary_size,
)
from fairseq_metro.recipes.options import plan_parser
from fairseq_metro.recipes.words import (
    chosen,
    first_folder,
    positive,
    words,
)

# METRO-T0, A.6: GPUs (A100 of 40 GB) and hours of the authors' METRO-T5 runs.
AUTHORS_RUNS = {"base": (64, 20.8), "basepp": (128, 159), "largepp": (256, 289)}


def duration(seconds):
    """Hours, or minutes where those are few.

    >>> duration(75000), duration(90)
    ('20.8 hours', '1.5 minutes')
    """
    return f"{seconds / 3600:,.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def report(args, extra):
    """The lines of a plan for parsed arguments and fairseq-train's ``extra`` words."""
    gpu, folder = gpu_named(args.gpu), first_folder(args.data)
    row, first = chosen(args)
    cfg = resolved([*words(row, first), *extra])
    vocabulary = vocabulary_size(folder, row.size)
    memory = memory_of(row, cfg, vocabulary, first.processes)
    most = memory.most_tokens(gpu.memory)
    fits = most >= row.length
    row, batches = chosen(args, most if fits else None)

    mode = precision_of(cfg.common)
    element = costs.PRECISIONS[mode]
    lines = [
        f"plan (estimates): {row.architecture}, recipe {row.recipe}, {mode}, "
        f"{batches.processes} x {gpu.name}"
    ]
    parts = ", ".join(f"{name} {number:,}" for name, number in memory.parameters.items())
    number = sum(memory.parameters.values())
    lines.append(f"parameters: {number:,} with V = {vocabulary:,}: {parts}")

    def gib(count):
        return f"{count / costs.GIB:.2f}"

    lines.append(
        f"memory of one GPU, GiB: weights {gib(number * element.weights)}, gradients "
        f"{gib(number * element.gradients)}, float32 copies {gib(number * element.copies)}, Adam "
        f"{gib(number * element.adam)}, buckets of the gradients {gib(number * memory.buckets)}; "
        f"activations {gib(batches.tokens * memory.activations)}, logits of the rows that carry "
        f"loss {gib(batches.tokens * memory.logits)}; in all {gib(memory.of(batches.tokens))} of "
        f"{gpu.memory:g}, {RESERVED:.0%} of which are left free"
    )
    lines.append(
        f"largest batch that fits one GPU: {most:,} tokens"
        if fits
        else f"warning: no block of {row.length} tokens fits one {gpu.name}; use half precision "
        "(--bf16), --checkpoint-activations, or a GPU with more memory"
    )
    if args.tokens_per_process and batches.tokens > most and fits:
        lines.append(f"warning: TOKENS={batches.tokens} is more than the {most:,} that fit")
    real = batches.update
    average = ""
    if folder:
        block, real = real_tokens(folder, row.length, batches)
        average = f"; {real:,.0f} on average with this data (blocks of {block:.0f})"
    lines.append(
        f"an update: {batches.processes} x {batches.tokens:,} tokens x {batches.accumulate} "
        f"accumulated = {batches.update:,} tokens at most{average}"
    )
    flops = costs.flops_per_token(
        row.objective, cfg.model, row.length, vocabulary,
        mask_prob=cfg.task.mask_prob, target_share=target_share(cfg.task),
    )  # fmt: skip
    peak = gpu.single if mode == "fp32" else gpu.half
    total = real * cfg.optimization.max_update
    speed = peak * 1e12 * args.mfu / flops
    lines.append(
        f"compute: {flops / 1e6:,.0f} MFLOP per token; {cfg.optimization.max_update:,} updates are "
        f"{total / 1e6:,.0f} M tokens, {total * flops:.3g} FLOP"
    )
    lines.append(
        f"time: {duration(total / speed / batches.processes)} at {args.mfu:.0%} MFU of "
        f"{peak:g} TFLOP/s ({speed:,.0f} tokens/s on each GPU)"
    )
    if mode == "fp32" and peak < gpu.half:
        lines.append(f"hint: --bf16 would use the {gpu.half:g} TFLOP/s of half precision")
    if row.objective == "metro_t5" and row.size in AUTHORS_RUNS:
        gpus, hours = AUTHORS_RUNS[row.size]
        paper = row.updates * row.update
        mfu = costs.model_flops_utilization(paper, gpus, hours, flops, GPUS["a100-40"].half)
        lines.append(
            f"the authors needed {hours:g} hours on {gpus} x a100-40 for {row.updates:,} updates: "
            f"{mfu:.1%} MFU"
        )
    return lines


def main(argv=None):
    args = plan_parser().parse_args(argv)
    if args.gpu_mib:
        args.gpu = gpu_of(positive("--gpu-mib", args.gpu_mib)).name
    if not 0 < args.mfu <= 1:
        raise UserError(f"--mfu is {args.mfu:g}, must be above 0 and at most 1")
    print("\n".join(report(args, args.options)))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
