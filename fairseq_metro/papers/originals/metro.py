"""METRO-T0's original experiments: pretraining, tuning on T0's mixtures, evaluation, figures.

``models``: sizes with the variants that the paper has of them; ``mixtures``: what they are tuned on;
``updates``: pretraining checkpoints that are tuned (a list for each variant; default: the last);
``suites``: what the tuned models are scored on, none where the pretrained ones are looked at;
``figures``: what is drawn of it all.
"""

from fairseq_metro.papers.originals import models
from fairseq_metro.papers.originals.scale import PRETRAINING
from fairseq_metro.papers.variants import objective_of
from fairseq_metro.recipes.table import pretraining

MIXTURES = {"t0": "t0", "t0p": "t0+", "t0pp": "t0++"}
SUITES = {
    "t0_eval": ("t0_eval", ()),
    "mmlu": ("mmlu", ()),
    # A.8 has five passages behind the question.
    "mmlu-passages": ("mmlu", ("--passages", "$PASSAGES", "--most-passages", "5")),
}
TITLES = {"metro": "METRO-T5", "t5": "T5"}
TUNED_TITLES = {"metro": "METRO-T0", "t5": "T0"}
ALL = ("--batches", "0")  # of T0++ Train, as in the paper


def steps(target, settings, scale):
    """Steps of a table or figure of METRO-T0."""
    planned, pairs = [], _models(settings)
    planned += [models.pretrained(size, variant, scale) for size, variant in pairs]
    for mixture in settings.get("mixtures", ()):
        for size in dict.fromkeys(size for size, _ in pairs):
            planned.append(models.prompted(mixture, size, MIXTURES[mixture]))
    if "suites" in settings:
        for mixture in settings["mixtures"]:
            for size, variant in pairs:
                for update in _updates(settings, size, variant):
                    planned += _tuned(size, variant, update, mixture, settings["suites"], scale)
    for figure in settings.get("figures", ()):
        planned.append(_FIGURES[figure](target, settings, scale))
    return planned


def _models(settings):
    """(size, variant) of every model."""
    return [
        (entry["size"], variant) for entry in settings["models"] for variant in entry["variants"]
    ]


def _updates(settings, size, variant):
    """The paper's updates of the pretraining checkpoints that are tuned."""
    last = pretraining(objective_of(variant), size).updates
    return settings.get("updates", {}).get(variant, [last])


def _name(size, variant, update, mixture):
    """The name of a tuned model; its last checkpoint is not named."""
    last = pretraining(objective_of(variant), size).updates
    return f"{size}-{variant}{'' if update == last else f'-{update}'}-{mixture}"


def _tuned(size, variant, update, mixture, suites, scale):
    """The fine-tuning of a checkpoint on a mixture, and its scores."""
    name = _name(size, variant, update, mixture)
    fields = {"variant": variant, "arch": size, "updates": update, "finetuning": mixture}
    prompts, start = (
        models.prompts_of(mixture, size),
        models.checkpoint(size, variant, update, scale),
    )
    script = f"finetune_{mixture}.sh"
    planned = [models.tuned(name, size, start, prompts, fields, scale, script)]
    for key in suites:
        suite, options = SUITES[key]
        about = {**fields, "suite": key}
        planned.append(
            models.evaluated(f"{name}-{key}", f"$WORK/tuned-{name}", suite, about, options)
        )
    return planned


# Figures


def _scores(settings, title):
    """``LABEL=RESULTS`` of every tuned model; title: of (size, variant, update)."""
    (mixture,), (suite,) = settings["mixtures"], settings["suites"]
    return [
        f"{title(size, variant, update)}={models.scores_of(_name(size, variant, update, mixture))}"
        f"-{suite}"
        for size, variant in _models(settings)
        for update in _updates(settings, size, variant)
    ]


def _size(size):
    return size.replace("pp", "++")


def _templates(target, settings, scale):
    """Figures 1 and 8. T0 3B's medians are printed nowhere; its means are in Table 2."""
    words = _scores(settings, lambda size, variant, _: f"{TUNED_TITLES[variant]} {_size(size)}")
    return models.drawn(target, "templates", (*words, "--published", "t0/t0-3b"))


def _task_bars(target, settings, scale):
    """Figure 5."""
    words = _scores(settings, lambda _, variant, update: f"{TUNED_TITLES[variant]}++ of {update:,}")
    return models.drawn(target, "task-bars", words)


def _efficiency(target, settings, scale):
    """Figure 4."""
    (mixture,), (suite,) = settings["mixtures"], settings["suites"]
    words = []
    for size, variant in _models(settings):
        total = pretraining(objective_of(variant), size).updates
        words += ["--series", TITLES[variant], models.run_of(size, variant)]
        for update in _updates(settings, size, variant):
            results = models.scores_of(f"{_name(size, variant, update, mixture)}-{suite}")
            words.append(f"{scale.update_at(update, total, PRETRAINING)}={results}")
    return models.drawn(target, "efficiency", words)


def _of_checkpoints(figure, outcome):
    """Figures 6 and 7: every kept checkpoint, and the start, on T0++ Train."""

    def draw(target, settings, scale):
        (mixture,) = settings["mixtures"]
        ((size, _), *_rest) = _models(settings)
        runs = [
            f"{TITLES[variant]}={models.run_of(size, variant)}" for _, variant in _models(settings)
        ]
        words = (*runs, "--data", models.prompts_of(mixture, size), *ALL)
        labels = {TITLES[variant]: variant for _, variant in _models(settings)}
        return models.drawn(target, figure, words, labels, outcome)

    return draw


def _of_logs(figure, outcome, variants):
    """Figure 3: curves of pretraining, from the runs' logs."""

    def draw(target, settings, scale):
        size = settings["models"][0]["size"]
        words = [f"{variant}={models.run_of(size, variant)}" for variant in variants]
        return models.drawn(
            target, figure, words, dict(zip(variants, variants, strict=True)), outcome
        )

    return draw


_FIGURES = {
    "templates": _templates,
    "task-bars": _task_bars,
    "efficiency": _efficiency,
    "neurons": _of_checkpoints("neurons", "neurons"),
    "sensitivity": _of_checkpoints("sensitivity", "sensitivity"),
    "clm-loss": _of_logs(
        "clm-loss", "clm_loss",
        ("metro", "rtd-decoder", "rtd-decoder-clip", "rtd-decoder-projection"),
    ),
    "rtd-recall": _of_logs("rtd-recall", "rtd_recall", ("metro", "span")),
}  # fmt: skip
