"""Steps that METRO-T0's and FLAN's originals are made of: pretraining, prompts, tuning, scores."""

from fairseq_metro.papers.commands import Command
from fairseq_metro.papers.compute import flops, parameters
from fairseq_metro.papers.originals.scale import PRETRAINING
from fairseq_metro.papers.steps import Step
from fairseq_metro.papers.variants import OPTIONS, objective_of, script_of
from fairseq_metro.recipes.finetuning_table import finetuning
from fairseq_metro.recipes.table import pretraining

SEED = 1
DATA = {"base": "$DATA", "basepp": "$DATA_PP", "largepp": "$DATA_PP"}
# Updates from one checkpoint to the next that stays, of the runs that METRO-T0's figures 4 to 7 follow.
KEPT = {"basepp": 500_000}
SCORES = 1e8  # bytes


def run_of(size, variant):
    """The folder in which a model is pretrained."""
    return f"$WORK/{size}-{variant}-{SEED}"


def pretrained(size, variant, scale):
    """The pretraining of a model. Every target that needs it plans the same command."""
    objective = objective_of(variant)
    row, every = pretraining(objective, size), KEPT.get(size)
    options = ("--seed", str(SEED), *OPTIONS.get(variant, ()),
               *scale.options(row.updates, PRETRAINING, every, keep=True))  # fmt: skip
    command = Command(
        ("bash", f"train_scripts/{script_of(variant)}"), options,
        (("ARCH", scale.arch_of(size)), ("SAVE", run_of(size, variant)), ("DATA", DATA[size]),
         ("PROCESSES", "$PROCESSES")),
    )  # fmt: skip
    tokens = row.update * row.updates
    fields = {"variant": variant, "arch": size, "updates": row.updates, "seed": SEED,
              "flops": tokens * flops(size, objective)}  # fmt: skip
    kept = 2 + (row.updates // every if every else 0)
    name = f"pretrain {size}-{variant}-{SEED}"
    return Step(name, "command", fields, None, tokens, 12.0 * parameters(size) * kept, command)


def checkpoint(size, variant, update, scale):
    """The checkpoint of a run after the paper's ``update`` (None: its last one)."""
    total = pretraining(objective_of(variant), size).updates
    if update in (None, total):
        return run_of(size, variant)
    return f"{run_of(size, variant)}@{scale.update_at(update, total, PRETRAINING)}"


def prompts_of(name, size):
    """The data folder of prompted pairs in a size's vocabulary."""
    return f"$WORK/prompts-{name}-{size}"


def prompted(name, size, mixture, options=(), optional=()):
    """A mixture's prompted pairs; name: of its data folder."""
    words = ("--mixture", mixture, "--tasks", "$TASKS", "--vocab", f"{DATA[size]}/vocab",
             "--dest", prompts_of(name, size), *options)  # fmt: skip
    command = Command(("fairseq-metro", "prompts"), words, (), optional)
    return Step(f"prompts {name}-{size}", "command", {"flops": 0}, None, 0, 5e10, command)


def tuned(name, size, start, prompts, fields, scale, script, recipe="t0"):
    """A fine-tuning of ``start`` on a folder of prompts; name: of its run."""
    row = finetuning(recipe, size, "metro")
    tokens = row.updates * row.sequences * row.source
    # T5's way of counting: a target is up to half as long as a source; FLOPs as T5's, whole target.
    work = tokens * flops(size, "t5", row.source)
    command = Command(
        ("bash", f"train_scripts/{script}"),
        ("--seed", str(SEED), *scale.options(row.updates)),
        (("INIT", start), ("ARCH", scale.arch_of(size)), ("SAVE", f"$WORK/tuned-{name}"),
         ("DATA", prompts), ("PROCESSES", "$PROCESSES")),
    )  # fmt: skip
    fields = {**fields, "arch": size, "seed": SEED, "flops": work}
    return Step(
        f"finetune {name}", "command", fields, None, tokens, 24.0 * parameters(size), command
    )


def evaluated(name, run, suite, fields, options=(), optional=()):
    """The scores of a model on a suite; name: of its folder of results."""
    out = scores_of(name)
    environment = (("OUT", out), ("SUITE", suite), ("TASKS", "$TASKS"))
    command = Command(("bash", "eval/run.sh"), (run, *options), environment, optional)
    fields = {**fields, "seed": SEED, "out": out, "flops": 0}
    return Step(f"evaluate {name}", "command", fields, None, 0, SCORES, command)


def scores_of(name):
    """The folder of an evaluation's results."""
    return f"$WORK/scores-{name}"


def drawn(target, figure, words, labels=None, outcome=None):
    """A figure of METRO-T0's for the runs or results of a target.

    labels: name in the picture -> variant, and outcome: the column that a claim is judged by, where
    one is.
    """
    out = f"$WORK/{target}_{figure}.png"
    command = Command(("fairseq-metro", "figure", figure), (*words, "--out", out))
    fields = {"flops": 0, "figure": figure, "picture": out}
    if outcome:
        fields |= {"labels": labels, "outcome": outcome, "seed": SEED}
    return Step(f"figure {target} {figure}", "command", fields, None, 0, 1e6, command)
