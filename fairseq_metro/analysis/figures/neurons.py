"""Figure 6: the share of under-activated neurons by pretraining step.

A neuron of a feed-forward layer is inactive for a token where its ReLU gives 0, and under-activated
where it is inactive for 99.5 % of the tokens (METRO-T0, section 6.4, there on T0++ Train). Tokens
of the encoder and the decoder are counted apart, padding is not; dropout is off. Memory: one count
for each neuron, one batch.
"""

import argparse
import logging
from contextlib import contextmanager
from fractions import Fraction

import torch

from fairseq_metro.analysis.figures import examples
from fairseq_metro.analysis.figures.plotting import colours_of, new_figure, step_axis, tidy
from fairseq_metro.analysis.figures.steps import steps_of
from fairseq_metro.common.errors import UserError

logger = logging.getLogger(__name__)

STACKS = ("encoder", "decoder")
INACTIVE = "0.995"
STYLES = {"all": "-", "encoder": "--", "decoder": ":"}


def add_arguments(parser):
    examples.add_arguments(parser)
    parser.add_argument(
        "--inactive", type=share, default=Fraction(INACTIVE),
        help="Fraction of tokens with zero activation above which a neuron counts as "
             f"under-activated (paper: {INACTIVE}).",
    )  # fmt: skip


def share(text):
    """An option from 0 to 1, as an exact Fraction."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = None
    if value is None or not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 1, such as {INACTIVE}")
    return value


class ActiveTokens:
    """Counts, for each neuron, of the tokens for which it is active.

    ``active[stack]``: a list of int64 (F,), one a layer; ``tokens[stack]``: of all tokens seen.
    """

    def __init__(self, model):
        self.layers = {stack: getattr(model, stack).layers for stack in STACKS}
        if any(getattr(layer.ffn, "gated", False) for layer in self.layers["encoder"]):
            raise UserError(
                "the feed-forward layers are gated GELUs, which are never exactly 0; under-"
                "activated neurons are defined for ReLU (T5 v1.0, METRO-T5)"
            )
        self.active = {stack: [0] * len(layers) for stack, layers in self.layers.items()}
        self.tokens = dict.fromkeys(STACKS, 0)

    @contextmanager
    def watching(self, real):
        """Count whatever the model is given inside; real: stack -> bool (B, T), no padding."""
        hooks = [
            layer.ffn.fc2.register_forward_pre_hook(self._hook(stack, i, real[stack]))
            for stack in STACKS
            for i, layer in enumerate(self.layers[stack])
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        for stack in STACKS:
            self.tokens[stack] += int(real[stack].sum())

    def _hook(self, stack, i, real):
        def count(module, inputs):
            hidden = inputs[0]  # (B, T, F), after the ReLU
            if hidden.shape[:2] != real.shape:
                raise UserError(f"the {stack} sees other positions than the batch has: a soft "
                                "prompt? look at the model behind it")  # fmt: skip
            self.active[stack][i] += hidden[real].gt(0).sum(0)

        return count


@torch.no_grad()
def count_active(subject):
    """The :class:`ActiveTokens` of a model over its batches."""
    counts = ActiveTokens(subject.model)
    subject.model.skips_positions = False  # every position counts, with loss or without
    for sample in subject.batches():
        with counts.watching(subject.real(sample)):
            subject.loss(sample)
    if not all(counts.tokens.values()):
        raise UserError(f"{subject.args.data}: no batch in it; give other --data or --split")
    return counts


def under_activated(active, tokens, inactive):
    """Bool (F,): neurons that are inactive for at least a share ``inactive`` of ``tokens``.

    >>> under_activated(torch.tensor([0, 1, 2]), 200, Fraction("0.995")).tolist()
    [True, True, False]
    """
    most = (1 - inactive) * tokens  # exact
    return active <= most.numerator // most.denominator


def rows_of(step, active, inactive):
    """A row for each layer, each stack, and both: dicts."""
    parts = {(stack, i): under_activated(counts, active.tokens[stack], inactive)
             for stack in STACKS for i, counts in enumerate(active.active[stack])}  # fmt: skip
    groups = [("all", "all", parts), *((stack, "all", _of(parts, stack)) for stack in STACKS)]
    groups += [(stack, i, {(stack, i): dead}) for (stack, i), dead in parts.items()]
    for stack, layer, members in groups:
        neurons = sum(len(dead) for dead in members.values())
        count = sum(int(dead.sum()) for dead in members.values())
        tokens = sum(active.tokens.values()) if stack == "all" else active.tokens[stack]
        yield {"run": step.label, "update": step.update, "stack": stack, "layer": layer,
               "neurons": neurons, "under_activated": count, "share": count / neurons,
               "tokens": tokens}  # fmt: skip


def _of(parts, stack):
    return {key: dead for key, dead in parts.items() if key[0] == stack}


def collect(args):
    rows = []
    for step in steps_of(args.runs, args.updates):
        logger.info(f"{step.label}, update {step.update}")
        rows += rows_of(step, count_active(examples.subject_of(step, args)), args.inactive)
    return rows


def draw(rows, args):
    """Both stacks as a strong line, each of them thinner; one colour a run."""
    figure = new_figure(6.2, 4)
    axis = figure.subplots()
    colours = colours_of(row["run"] for row in rows)
    for label, colour in colours.items():
        for stack, style in STYLES.items():
            points = [(row["update"], 100 * row["share"]) for row in rows
                      if (row["run"], row["stack"], row["layer"]) == (label, stack, "all")]  # fmt: skip
            strong = stack == "all"
            axis.plot(
                *zip(*points, strict=True), style, color=colour, linewidth=2 if strong else 1,
                marker="o" if strong else ".", markersize=5 if strong else 3,
                alpha=1 if strong else 0.75, label=label if strong else f"{label}, {stack}",
            )  # fmt: skip
    tidy(axis, "", "under-activated neurons, %")
    step_axis(axis)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8.5, frameon=False, ncols=len(colours))
    return figure


def describe(rows):
    return "\n".join(
        f"{row['run']}, update {row['update']}: {row['under_activated']} of {row['neurons']} "
        f"neurons under-activated ({row['share']:.1%}), over {row['tokens']:,} tokens"
        for row in rows
        if row["stack"] == "all"
    )
