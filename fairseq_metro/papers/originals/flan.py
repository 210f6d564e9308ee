"""FLAN's original: instruction tuning of T5 with the evaluated clusters of tasks held out.

FLAN's own model, LaMDA-PT of 137 billion parameters, is proprietary: our T5 stands in for it. ``study``
says what is varied; each evaluated cluster is unseen by the model that is scored on it.
"""

from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.papers.originals import models

SUITE, MIXTURE, SCRIPT = "flan", "flan", "finetune_flan.sh"
# Templates of the user's own come last, so that they are taken where they are.
TEMPLATES = ("--templates", "$TEMPLATES")
EVALUATED_TEMPLATES = ("--templates", "promptsource", "own", "$TEMPLATES")
NEEDS_TEMPLATES = ("translation",)  # promptsource has none of it
NATURAL = "natural"


def steps(target, settings, scale):
    """Steps of one of FLAN's ablations."""
    planned = []
    for size in settings["sizes"]:
        planned.append(models.pretrained(size, "t5", scale))
        planned += _STUDIES[settings["study"]](settings, size, scale)
    return planned


def _tuned(name, size, options, scale, fields):
    """A mixture's prompts with ``options`` of prompted_data.py, and T5 tuned on them."""
    data, fields = f"flan-{name}", {"variant": "t5", "tuned": True, **fields}
    return [
        models.prompted(data, size, MIXTURE, options, (TEMPLATES,)),
        models.tuned(f"{size}-t5-{data}", size, models.run_of(size, "t5"),
                     models.prompts_of(data, size), fields, scale, SCRIPT, "flan"),
    ]  # fmt: skip


def _scored(name, size, cluster, fields, options=()):
    """The scores on a cluster of the model that was tuned as ``name``, which has not seen it."""
    data = f"flan-{name}"
    words = ("--clusters", cluster, "--unseen-by", models.prompts_of(data, size), *options)
    fields = {"variant": "t5", "arch": size, "tuned": True, "cluster": cluster, **fields}
    step = models.evaluated(
        f"{size}-t5-{data}-{cluster}{''.join(options).replace('--', '-')}",
        f"$WORK/tuned-{size}-t5-{data}", SUITE, fields, words, (EVALUATED_TEMPLATES,),
    )  # fmt: skip
    return step.needing("TEMPLATES") if cluster in NEEDS_TEMPLATES else step


def _untuned(size, cluster):
    """The scores on a cluster of the pretrained model."""
    fields = {"variant": "t5", "arch": size, "tuned": False, "cluster": cluster}
    return models.evaluated(
        f"{size}-t5-untuned-{cluster}", models.run_of(size, "t5"), SUITE, fields,
        ("--clusters", cluster), (EVALUATED_TEMPLATES,),
    )  # fmt: skip


def _of_clusters(settings, count):
    """(name, options) of the mixture of the first ``count`` clusters (section 4.1)."""
    options = ("--hold-out", *settings["hold_out"], "--clusters", *settings["clusters"][:count],
               "--without", *settings["without"])  # fmt: skip
    return f"{count}-clusters", options


def _number_of_clusters(settings, size, scale):
    """Section 4.1: one cluster after the other is added; the same three are always held out."""
    planned = []
    for count in range(1, len(settings["clusters"]) + 1):
        name, options = _of_clusters(settings, count)
        fields = {"clusters": count}
        planned += _tuned(name, size, options, scale, fields)
        planned += [_scored(name, size, cluster, fields) for cluster in settings["hold_out"]]
    return planned


def _sizes(settings, size, scale):
    """Section 4.2: the clusters of 4.1, each size with and without instruction tuning."""
    count = len(settings["clusters"])
    name, options = _of_clusters(settings, count)
    planned = [_untuned(size, cluster) for cluster in settings["hold_out"]]
    planned += _tuned(name, size, options, scale, {})
    return planned + [_scored(name, size, cluster, {}) for cluster in settings["hold_out"]]


def _instructions(settings, size, scale):
    """Section 4.3: tuned with instructions, without, behind the data set's name; asked with
    instructions, and the last of them by the data set's name too."""
    planned = []
    for cluster in settings["evaluated"]:
        for mode in settings["modes"]:
            name = f"without-{cluster}" + ("" if mode == NATURAL else f"-{mode}")
            options = ("--hold-out", cluster) + (() if mode == NATURAL else ("--mode", mode))
            fields = {"mode": mode, "held_out": cluster}
            planned += _tuned(name, size, options, scale, fields)
            planned.append(_scored(name, size, cluster, {**fields, "asked": NATURAL}))
            if mode == "dataset-name":
                evaluated = {**fields, "asked": mode}
                planned.append(_scored(name, size, cluster, evaluated, ("--mode", mode)))
    return planned


def _exemplars(settings, size, scale):
    """Section 4.4: exemplars in tuning and in evaluation, beside none in either.

    Every input has as many of ``settings["exemplars"]`` as its length allows.
    """
    planned = []
    for cluster in settings["evaluated"]:
        for shots in (0, settings["exemplars"]):
            name = f"without-{cluster}" + ("-exemplars" if shots else "")
            more = ("--exemplars", str(shots)) if shots else ()
            fields = {"shots": shots, "held_out": cluster}
            planned += _tuned(name, size, ("--hold-out", cluster, *more), scale, fields)
            options = ("--shots", str(shots)) if shots else ()
            planned.append(_scored(name, size, cluster, fields, options))
    return planned


def _soft_prompts(settings, size, scale):
    """Section 4.5: soft prompts on SuperGLUE's tasks, before T5 as it is and before T5 tuned without
    the task's cluster; of few rows and of all."""
    planned, clusters = (
        [],
        {suite_set.dataset: suite_set.cluster for suite_set in load_suite(SUITE).sets},
    )
    for dataset in settings["tasks"]:
        task, cluster = dataset.partition("/")[2], clusters[dataset]
        name = f"without-{cluster}"
        planned += _tuned(name, size, ("--hold-out", cluster), scale, {"held_out": cluster})
        starts = {False: models.run_of(size, "t5"), True: f"$WORK/tuned-{size}-t5-flan-{name}"}
        for rows in settings["rows"]:
            data = f"{task}-{rows}"
            limit = () if rows == "all" else ("--limit", str(rows))
            chosen = ("--only", dataset, "--split", "train", *limit)
            planned.append(models.prompted(data, size, "super_glue", chosen))
            for tuned, start in starts.items():
                soft = f"{size}-t5-soft-{data}" + ("-flan" if tuned else "")
                fields = {"variant": "t5", "arch": size, "tuned": tuned, "task": task,
                          "examples": rows}  # fmt: skip
                planned.append(
                    models.tuned(soft, size, start, models.prompts_of(data, size), fields, scale,
                                 "finetune_soft_prompt.sh", "soft_prompt")
                )  # fmt: skip
                options = ("--sets", dataset, "--frozen-model", start)
                planned.append(
                    models.evaluated(soft, f"$WORK/tuned-{soft}", SUITE, fields, options)
                )
    return planned


_STUDIES = {
    "clusters": _number_of_clusters,
    "sizes": _sizes,
    "instructions": _instructions,
    "exemplars": _exemplars,
    "soft-prompts": _soft_prompts,
}
