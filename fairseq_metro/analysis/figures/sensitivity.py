r"""Figure 7: how sensitive the loss is to each parameter, as a ridge plot by pretraining step.

METRO-T0's equation 14 as printed has a slip. It defines theta_{-j} as theta with its j-th entry set
to zero; then |theta_{-j}^T grad L| would be of all parameters but the j-th, nearly the same number
for every j. What is meant, in the text around it and in Liang et al. (2022), is the vector that
holds theta_j at place j and zeros elsewhere:

    I_j = |theta_j dL/dtheta_j|  ~  |L(theta) - L(theta with theta_j set to 0)|

which is computed here, L being the decoder's loss, a mean over the tokens of all batches. The base
of the logarithm is 10; parameters whose gradient is exactly 0 (positions beyond every example) have
none and are counted as ``zero_share``. Memory: the gradients, one batch, a histogram.
"""

import logging
import math

import numpy as np
import torch

from fairseq_metro.analysis.figures import examples
from fairseq_metro.analysis.figures.plotting import colours_of, new_figure, short_steps, tidy
from fairseq_metro.analysis.figures.steps import steps_of
from fairseq_metro.common.errors import UserError

logger = logging.getLogger(__name__)

# Bins of log10; what lies outside falls into the first or the last.
LOW, HIGH, WIDTH = -24.0, 4.0, 0.1
BINS = round((HIGH - LOW) / WIDTH)
CHUNK = 1 << 20  # parameters at a time
OVERLAP = 1.7  # height of the highest hill, where rows are 1 apart


def add_arguments(parser):
    examples.add_arguments(parser)


class LogHistogram:
    """Of log10 of non-negative numbers: counts in bins, exact moments, how many were zero."""

    def __init__(self):
        self.counts = np.zeros(BINS, dtype=np.int64)
        self.zeros = self.total = 0
        self.sum = self.squares = 0.0

    def add(self, values):
        """values: float64 tensor of any shape, not negative."""
        for chunk in values.flatten().split(CHUNK):
            logs = chunk[chunk > 0].log10()
            self.total += len(chunk)
            self.zeros += len(chunk) - len(logs)
            self.sum += float(logs.sum())
            self.squares += float(logs.square().sum())
            bins = ((logs - LOW) / WIDTH).floor().clamp(0, BINS - 1).long()
            self.counts += torch.bincount(bins, minlength=BINS).cpu().numpy()

    @property
    def mean(self):
        return self.sum / (self.total - self.zeros)

    @property
    def std(self):
        """Population standard deviation."""
        return math.sqrt(max(0.0, self.squares / (self.total - self.zeros) - self.mean**2))

    def density(self):
        """(middles of the bins from the first to the last that is not empty, density), (n,) each."""
        filled = np.flatnonzero(self.counts)
        kept = slice(filled[0], filled[-1] + 1)
        middles = LOW + WIDTH * (np.arange(BINS) + 0.5)
        return middles[kept], self.counts[kept] / (self.counts.sum() * WIDTH)


def gradients(subject):
    """Leaves in every parameter's ``grad`` that of the mean loss over all batches, in float32."""
    tokens = 0
    subject.model.zero_grad(set_to_none=True)
    for sample in subject.batches():
        loss, count = subject.loss(sample)
        loss.backward()
        tokens += count
    if tokens == 0:
        raise UserError(f"{subject.args.data}: no batch in it with a token to predict")
    for _, parameter in subject.main_parameters():
        if parameter.grad is not None:
            parameter.grad /= tokens
    return tokens


def sensitivity(parameter):
    """|theta_j dL/dtheta_j| of each entry, float64, in the parameter's shape."""
    if parameter.grad is None:
        return torch.zeros(parameter.shape, dtype=torch.float64)
    return (parameter.detach().double() * parameter.grad.double()).abs()


def measure(subject):
    """(:class:`LogHistogram` of the main model's sensitivities, tokens they are a mean over)."""
    tokens, histogram = gradients(subject), LogHistogram()
    for _, parameter in subject.main_parameters():
        histogram.add(sensitivity(parameter))
    return histogram, tokens


def collect(args):
    rows = []
    for step in steps_of(args.runs, args.updates):
        logger.info(f"{step.label}, update {step.update}")
        histogram, tokens = measure(examples.subject_of(step, args))
        if histogram.zeros == histogram.total:
            raise UserError(f"{step.path}: every gradient is zero; give other --data")
        row = {"run": step.label, "update": step.update, "parameters": histogram.total,
                "zero_share": histogram.zeros / histogram.total, "tokens": tokens,
                "mean": histogram.mean, "std": histogram.std}  # fmt: skip
        for middle, density in zip(*histogram.density(), strict=True):
            rows.append({**row, "log10_sensitivity": float(middle), "density": float(density)})
    return rows


def draw(rows, args):
    """A row for each step, the first on top; in it a hill for each run, in its own colour."""
    hills = {}
    for row in rows:
        hills.setdefault((row["update"], row["run"]), []).append(row)
    updates = sorted({update for update, _ in hills})
    colours = colours_of(row["run"] for row in rows)
    figure = new_figure(6.4, 1.6 + 0.72 * len(updates))
    axis = figure.subplots()
    scale = OVERLAP / max(row["density"] for row in rows)
    for place, update in enumerate(updates):
        base = len(updates) - 1 - place
        axis.axhline(base, color="#bbbbbb", linewidth=0.6, zorder=place)
        for run, colour in colours.items():
            if (update, run) not in hills:
                continue
            x = [row["log10_sensitivity"] for row in hills[update, run]]
            y = [base + scale * row["density"] for row in hills[update, run]]
            label = run if all((before, run) not in hills for before in updates[:place]) else None
            axis.fill_between(x, base, y, color=colour, alpha=0.35, linewidth=0, zorder=place + 0.3)
            axis.plot(x, y, color=colour, linewidth=1.3, zorder=place + 0.4, label=label)
    tidy(axis, r"$\log_{10}\,|\theta_j\,\partial L/\partial\theta_j|$", "pretraining step")
    axis.set_yticks(range(len(updates)), [short_steps(update) for update in reversed(updates)])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.set_xlim(*_range(rows))
    axis.legend(fontsize=9, frameon=False, loc="upper left")
    return figure


def _range(rows):
    """From where to where a hill holds more than a thousandth of its height."""
    highest = max(row["density"] for row in rows)
    seen = [row["log10_sensitivity"] for row in rows if row["density"] > 2e-3 * highest]
    return min(seen) - 0.3, max(seen) + 0.3


def describe(rows):
    by_step = {(row["run"], row["update"]): row for row in rows}
    return "\n".join(
        f"{run}, update {update}: log10 of sensitivity {row['mean']:.2f}, standard deviation "
        f"{row['std']:.3f}; {row['zero_share']:.1%} of {row['parameters']:,} are zero"
        for (run, update), row in by_step.items()
    )
