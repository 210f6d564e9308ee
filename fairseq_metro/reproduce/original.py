"""The originals, ``SCALE=paper``: the commands of train_scripts/ and eval/ with the papers' numbers.

Tokens and FLOPs are the planner's (:mod:`fairseq_metro.planning.costs`). Data is the user's own:
DATA, a folder of binarized pretraining text; TASKS, the task files; for SMASH the models and TEXT.
"""

from functools import cache
from types import SimpleNamespace

from fairseq_metro.models.metro_t5 import ARCHITECTURES, MetroT5Config
from fairseq_metro.models.metro_t5.parameters import VOCABULARY, count
from fairseq_metro.planning.costs import flops_per_token
from fairseq_metro.planning.finetuning_table import finetuning
from fairseq_metro.planning.table import pretraining
from fairseq_metro.reproduce.steps import Step
from fairseq_metro.reproduce.variants import OPTIONS, objective_of, script_of

SEED = 1
CPU_VOCABULARY = 2129  # 2,000 pieces, 128 sentinels, the mask, fairseq's four
SMASH_SCRIPTS = {
    "pair": "smash_pair.sh",
    "single": "smash_single.sh",
    "pair_t5": "smash_pair_t5.sh",
}
SETTINGS = ("ce", "hidden", "attention", "mlm", "rule")


@cache
def flops(arch, objective, length=512):
    """Training FLOPs for a source token of an architecture; of tiny and small with 2,000 pieces."""
    cfg = SimpleNamespace(**{**vars(MetroT5Config()), **ARCHITECTURES[arch]})
    vocabulary = CPU_VOCABULARY if arch in ("tiny", "small") else VOCABULARY[arch]
    return flops_per_token(objective, cfg, length, vocabulary)


def compute_ratio(arch, length=128):
    """FLOPs of an update of METRO-T5 over those of T5's.

    >>> 1.5 < compute_ratio("small") < 4
    True
    """
    return flops(arch, "metro_t5", length) / flops(arch, "t5", length)


def metro_steps(settings):
    """Steps of METRO-T0 and FLAN: each variant and size is pretrained, tuned, evaluated."""
    steps = []
    for size in settings["sizes"]:
        for variant in settings.get("variants", ["metro", "t5"]):
            steps += _of_model(size, variant, settings)
    return steps


@cache
def _parameters(size):
    """Of METRO-T5 with its auxiliary model."""
    return sum(count(size, VOCABULARY[size]).values())


def _of_model(size, variant, settings):
    objective = objective_of(variant)
    row, parameters = pretraining(objective, size), _parameters(size)
    kept = settings.get("updates", [row.updates])
    folder = f"$WORK/{size}-{variant}-{SEED}"
    checkpoints = ("--save-interval-updates", str(kept[0]), "--keep-interval-updates", "-1")
    words = ("env", f"ARCH={size}", f"SAVE={folder}", "DATA=$DATA", "PROCESSES=$PROCESSES", "bash",
             f"train_scripts/{script_of(variant)}",
             "--seed", str(SEED), *OPTIONS.get(variant, ()),
             *(checkpoints if len(kept) > 1 else ()))  # fmt: skip
    tokens = row.update * row.updates
    fields = {"variant": variant, "arch": size, "updates": row.updates, "seed": SEED,
              "flops": tokens * flops(size, objective)}  # fmt: skip
    steps = [Step(f"pretrain {size}-{variant}-{SEED}", "command", fields, None, tokens,
                  12.0 * parameters * (2 + len(kept)), words)]  # fmt: skip
    for mixture in settings.get("mixtures", ()):
        for updates in kept:
            last = updates == row.updates
            start = folder if last else f"{folder}/checkpoint_*_{updates}.pt"
            name = f"{size}-{variant}-{updates}-{mixture}"
            steps += _tuned(size, variant, mixture, updates, start, name, parameters, settings)
    return steps


def _tuned(size, variant, mixture, updates, start, name, parameters, settings):
    """Fine-tuning on a mixture, and the evaluation of what comes out."""
    row, run = (
        finetuning("flan" if mixture == "flan" else "t0", size, "metro"),
        f"$WORK/tuned-{name}",
    )
    tokens = row.updates * row.sequences * row.source
    # T5's way of counting: a target is up to half as long as a source; FLOPs as T5's, whole target.
    work = tokens * flops(size, "t5", row.source)
    fields = {"variant": variant, "arch": size, "updates": updates, "seed": SEED,
              "finetuning": mixture, "flops": work}  # fmt: skip
    words = ("env", f"INIT={start}", f"ARCH={size}", f"SAVE={run}", "TASKS=$TASKS",
             f"DATA=$WORK/{mixture}-{size}", "PROCESSES=$PROCESSES", "bash",
             f"train_scripts/finetune_{mixture}.sh", "--seed", str(SEED))  # fmt: skip
    steps = [Step(f"finetune {name}", "command", fields, None, tokens, 24.0 * parameters, words)]
    for shots in settings.get("shots", [None]) if "suite" in settings else ():
        out = f"$WORK/evaluated-{name}" + (f"-{shots}" if shots is not None else "")
        words = ("env", f"OUT={out}", f"SUITE={settings['suite']}", "TASKS=$TASKS", "bash",
                 "eval/run.sh", run, *(("--shots", str(shots)) if shots is not None else ()),
                 *(("--passages", "$PASSAGES") if settings.get("passages") else ()))  # fmt: skip
        about = {**fields, "shots": shots or 0, "out": out, "flops": 0}
        key = f"evaluate {name}" + (f" {shots} shots" if shots is not None else "")
        steps.append(Step(key, "command", about, None, 0, 1e8, words))
    return steps


def smash_steps(settings):
    """Steps of SMASH: distillation by its scripts, then the few-shot grid over the models."""
    steps = []
    for part in settings["smash"]:
        if part in SMASH_SCRIPTS:
            steps.append(_distilled(part, "ce", SMASH_SCRIPTS[part]))
        elif part == "settings":
            steps += [_distilled(f"pair-{one}", one, SMASH_SCRIPTS["pair"]) for one in SETTINGS[1:]]
        else:
            models = [f"$MODELS/{name}" for name in settings["models"] if name != "smash"]
            distilled = [f"$WORK/smash-{name.removeprefix('distil ')}"
                         for name in (step.key for step in steps)]  # fmt: skip
            words = ("python", "eval/fewshot.py", "--model", *models, *distilled, "--tasks", "$TASKS",
                     "--task", "$FEWSHOT", "--out", "$WORK/fewshot")  # fmt: skip
            steps.append(Step("fewshot grid", "command", {"flops": 0}, None, 0, 1e9, words))
    return steps


def _distilled(name, setting, script):
    """SMASH appendix A.1: 200,000 updates of 128 prompts; 4 days on two GTX 1080 Ti for pairs."""
    length = 64 if name == "single" else 128
    tokens = 200_000 * 128 * length
    teacher, student = 6 * 355e6 / 3, 6 * 82e6  # FLOPs a token: the teacher forward alone
    words = ("env", "INIT=$MODELS/student", "TEACHER=$MODELS/teacher", "TEXT=$TEXT",
             f"DATA=$WORK/prompts-{name}", f"SETTING={setting}", f"SAVE=$WORK/smash-{name}",
             "PROCESSES=$PROCESSES", "bash", f"train_scripts/{script}")  # fmt: skip
    return Step(f"distil {name}", "command", {"flops": tokens * (teacher + student)}, None, tokens,
                20e9, words)  # fmt: skip
