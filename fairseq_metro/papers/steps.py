"""The steps of a table or figure at a scale, each with its cost.

Times are core-seconds of the machine on which they were measured (two cores of a 2 GHz server,
quiet), before a probe says how much faster or slower the one at hand is.
"""

from dataclasses import dataclass, replace

from fairseq_metro.papers.commands import Command
from fairseq_metro.papers.targets import finetuning
from fairseq_metro.papers.variants import objective_of

# Core-seconds for an update of 1,024 tokens in pretraining, of 4,096 source tokens in fine-tuning.
PRETRAINING = {("metro_t5", "small"): 0.16, ("t5", "small"): 0.085,
               ("metro_t5", "tiny"): 0.062, ("t5", "tiny"): 0.034}  # fmt: skip
DEARER = {"all-positions": 1.3, "copy": 1.3, "t5-all-tokens": 2.0}  # than their like
FINETUNING = {"small": 0.34, "tiny": 0.13}
SCORING = 240  # of the validation before and after
SPANS = {"small": 80, "tiny": 30, "base": 300}
STAGES = {"text": 120, "prompts": 420, "teacher-short": 2300, "teacher": 600, "middle-short": 500,
          "middle": 150, "student-short": 300, "student": 90, "distil": 500, "settings": 1800,
          "ablation": 2200}  # fmt: skip
FEWSHOT = 12  # of a cell
UPDATE = 1024  # tokens of a CPU update
PROBE = "small"  # the architecture that is probed
BYTES = {"tiny": 5e6, "small": 25e6, "base": 3.2e9}  # of a checkpoint with its optimizer


@dataclass(frozen=True)
class Step:
    """kind and fields say what is run; key: what it is called in the file of results. seconds: of a
    core, None if unknown; tokens: trained on; bytes: left on the disk. Of an original: command,
    and requires, names of variables without which it is left out.
    """

    key: str
    kind: str
    fields: dict
    seconds: float | None = None
    tokens: int = 0
    bytes: float = 0
    command: Command | None = None
    requires: tuple[str, ...] = ()

    def needing(self, *names):
        """The step, left out where one of these variables is not set."""
        return replace(self, requires=names)


def trained_steps(settings, seeds, compute_ratio):
    """Steps of ``runs: trained``: all of a seed before the next seed's.

    compute_ratio: FLOPs of an update of METRO-T5 over T5's, of an architecture's name.
    """
    steps, archs = [], settings["arch"]
    archs = archs if isinstance(archs, list) else [archs]
    for seed in seeds:
        for arch in archs:
            for updates in settings["updates"]:
                runs = [(variant, updates) for variant in settings["variants"]]
                if settings.get("equal_compute"):
                    runs.append(("metro-equal-compute", round(updates / compute_ratio(arch))))
                for variant, count in runs:
                    steps += _of_run(variant, arch, count, seed, settings)
    return steps


def _of_run(variant, arch, updates, seed, settings):
    """Pretraining of one model, and all that is done with it."""
    run = {"variant": variant, "arch": arch, "updates": updates, "seed": seed}
    name = f"{arch}-{variant}-{updates}-{seed}"
    seconds = PRETRAINING.get((objective_of(variant), arch))
    if seconds is not None:
        seconds *= updates * DEARER.get(variant, 1.0)
    size = BYTES[arch]
    tokens = updates * (UPDATE if arch != "base" else 65536)
    steps = [Step(f"pretrain {name}", "pretrain", run, seconds, tokens, 3 * size)]
    for names in settings.get("finetune", []):
        steps.append(_finetune(names, run, name, arch, size))
    if settings.get("shots"):
        for shots in settings["shots"]:
            fields = {**run, "finetuning": settings["finetune"][0], "shots": shots}
            steps.append(Step(f"evaluate {name} {shots} shots", "evaluate", fields, 200))
    if settings.get("spans"):
        steps.append(Step(f"spans {name}", "spans", run, SPANS[arch] if arch != "base" else None))
    return steps


def _finetune(names, run, name, arch, size):
    """A fine-tuning; of ``a+b`` it is b, which begins with a's model."""
    row = finetuning(names.split("+")[-1])
    seconds = FINETUNING.get(arch)
    if seconds is not None:
        seconds = seconds * row["updates"] * row["max_tokens"] / 4096 + SCORING
    return Step(f"finetune {name} {names}", "finetune", {**run, "finetuning": names}, seconds,
                row["updates"] * row["max_tokens"], 2 * size)  # fmt: skip


def smash_steps(settings, seeds):
    """Steps of ``runs: stages``: the SMASH study's stages, then few-shot runs task by task."""
    steps = [
        Step(f"smash {stage}", "stage", {"stage": stage}, STAGES[stage], 0, 30e6)
        for stage in settings["stages"]
    ]
    if settings.get("ablation"):
        steps.append(Step("smash ablation", "stage", {"stage": "ablation"}, STAGES["ablation"]))
    for task in settings["tasks"]:
        for k in settings.get("k", [16]):
            fields = {"task": task, "models": settings["fewshot"], "k": k, "seeds": list(seeds),
                      "variants": bool(settings.get("variants"))}  # fmt: skip
            cells = (
                5 * len(settings["fewshot"]) * len(seeds) * (3 if settings.get("variants") else 1)
            )
            words = (
                f"fewshot {task} K{k} {' '.join(settings['fewshot'])} {' '.join(map(str, seeds))}"
            )
            steps.append(Step(words, "fewshot", fields, FEWSHOT * cells * k / 16, 0, 20e6))
    return steps


def check_steps(settings):
    """The one step of ``runs: checks``: seconds at any scale."""
    check = settings["check"]
    return [Step(f"check {check}", "check", {"check": check}, 5)]
