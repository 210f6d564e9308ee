"""SMASH's original: students distilled in every setting, few-shot runs over models, tasks, splits.

``distilled``: of :data:`SETTINGS`; ``grids``: few-shot grids, the options of fairseq-metro fewshot as
data, with ``roles`` and ``distilled`` students for models, or the latters' ``checkpoints``;
``results``: the grids' folder; ``tables``, ``figures``: what is made of it.
"""

from typing import NamedTuple

from fairseq_metro.papers.commands import Command
from fairseq_metro.papers.steps import Step
from fairseq_metro.recipes.smash_table import distillation

MODELS, T5_MODELS = "$MODELS", "$T5_MODELS"
PARAMETERS = {"student": 82e6, "middle": 125e6, "teacher": 355e6}  # SMASH's RoBERTas
CELLS = 5e8  # bytes that a grid leaves: splits and results


class Setting(NamedTuple):
    """script: of train_scripts/; setting: of section 4.3; teacher: a role, or None; text: whether raw
    text is read instead of prompts."""

    script: str
    setting: str = "ce"
    teacher: str | None = "teacher"
    text: bool = False
    models: str = MODELS


# By the paper's names of figure 2: Rl is RoBERTa-large, Rb RoBERTa-base, whose width and heads are the
# student's. Single sentences and T5 have the method alone.
SETTINGS = {
    "ce-pair": Setting("smash_pair.sh"),
    "ce-single": Setting("smash_single.sh"),
    "middle-ce-pair": Setting("smash_pair.sh", "ce", "middle"),
    "middle-ce+hidn-pair": Setting("smash_pair.sh", "hidden", "middle"),
    "middle-ce+attn-pair": Setting("smash_pair.sh", "attention", "middle"),
    "middle-mlm-text": Setting("smash_pair.sh", "mlm", "middle", text=True),
    "rule-pair": Setting("smash_pair.sh", "rule", None),
    "t5-pair": Setting("smash_pair_t5.sh", models=T5_MODELS),
}


def steps(target, settings, scale):
    """Steps of a table or figure of SMASH."""
    results = f"$WORK/{settings['results']}"
    planned = [_distilled(name, scale) for name in settings.get("distilled", ())]
    for name, grid in settings["grids"].items():
        planned.append(_grid(f"{settings['results']} {name}", grid, results, scale))
    for number in settings.get("tables", ()):
        planned.append(_written(target, "smash-table", number, results))
    for number in settings.get("figures", ()):
        planned.append(_written(target, "smash-figure", number, results))
    return planned


def _group(name):
    """Kind of prompts of a setting: the end of its name."""
    return name.rpartition("-")[2]


def _distilled(name, scale):
    """SMASH appendix A.1: 200,000 updates of 128 prompts; 4 days on two GTX 1080 Ti for pairs."""
    setting = SETTINGS[name]
    group = "single_sentence" if _group(name) == "single" else "sentence_pair"
    row = distillation(group, setting.setting)
    environment = [("INIT", f"{setting.models}/student")]
    if setting.teacher:
        environment.append(("TEACHER", f"{setting.models}/{setting.teacher}"))
    if scale.arch:
        environment.append(("ARCH", scale.arch))
    if setting.text:
        environment.append(("DATA", "$RAW_TEXT"))
    else:
        kind = "t5-" if setting.models == T5_MODELS else ""
        environment += [("TEXT", "$TEXT"), ("DATA", f"$WORK/prompts-{kind}{_group(name)}")]
    environment += [("SETTING", setting.setting), ("SAVE", f"$WORK/smash-{name}"),
                    ("PROCESSES", "$PROCESSES")]  # fmt: skip
    options = scale.options(row.updates, every=row.save_every)
    command = Command(("bash", f"train_scripts/{setting.script}"), options, tuple(environment))
    length = row.length or (64 if group == "single_sentence" else 128)
    tokens = row.updates * row.prompts * length
    teacher = 2 * PARAMETERS[setting.teacher] if setting.teacher else 0  # the forward pass alone
    fields = {"flops": tokens * (teacher + 6 * PARAMETERS["student"]), "setting": name}
    return Step(f"distil {name}", "command", fields, None, tokens, 20e9, command)


def _grid(name, grid, results, scale):
    """One call of fairseq-metro fewshot; what is finished in its folder is not run again."""
    words = ["--model", *_models(grid, scale)]
    words += ["--tasks", "$TASKS", "--task", *grid["tasks"], "--rows", *grid["rows"]]
    for option in ("teacher", "augmented", "auto-templates", "auto-words"):
        if option in grid:
            words += [f"--{option}", grid[option]]
    if "k" in grid:
        words += ["--k", *map(str, grid["k"])]
    words += [*scale.fewshot_options(), "--out", results]
    command = Command(("fairseq-metro", "fewshot"), tuple(words))
    step = Step(f"grid {name}", "command", {"flops": 0}, None, 0, CELLS, command)
    return step.needing(*grid.get("needs", ()))


def _models(grid, scale):
    """Words of ``--model``: roles, distilled students, and the latters' checkpoints by updates."""
    paths = [f"{grid.get('folder', MODELS)}/{role}" for role in grid.get("roles", ())]
    for name in grid.get("distilled", ()):
        run, row = f"$WORK/smash-{name}", distillation("sentence_pair")
        if not grid.get("checkpoints"):
            paths.append(run)
            continue
        for update in range(row.save_every, row.updates + 1, row.save_every):
            paths.append(f"{run}@{scale.update_at(update, row.updates)}")
    return paths


def _written(target, command, number, results):
    """A table or figure beside the paper's numbers."""
    out = f"$WORK/{target}"
    words = ("--results", results, "--out", out)
    fields = {"flops": 0, "picture": f"{out}/{command.partition('-')[2]}{number}.png"}
    return Step(f"{command} {number}", "command", fields, None, 0, 1e6,
                Command(("fairseq-metro", command), (str(number), *words)))  # fmt: skip
