"""Determine the sets of a suite unseen by a fine-tuned model (FLAN, section 2.2).

A set is unseen where no set of its cluster was trained on. What was trained on stands in the data
folder of prompted pairs, ``DATA/train/mixture.json``.
"""

from dataclasses import replace
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.data.prompted_files import MIXTURE
from fairseq_metro.prompts.mixtures import RULES, Mixture, MixtureSet
from fairseq_metro.prompts.mixtures.mixture import TRAIN


def trained_mixture(data):
    """The :class:`Mixture` of the data sets and clusters that a folder of prompted pairs trains on.

    Raises :class:`UserError` where the folder does not say, as the authors' own folders.
    """
    path = Path(data) / TRAIN / MIXTURE
    facts = read_json(path) if path.is_file() else None
    tasks = facts.get("tasks") if isinstance(facts, dict) else None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UserError(
            f"{path}: does not say which data sets and clusters were trained on; give a folder that "
            "fairseq-metro prompts wrote"
        )
    clusters = {task.get("dataset"): task.get("cluster") for task in tasks}
    sets = tuple(MixtureSet(name, name, cluster=cluster) for name, cluster in clusters.items())
    return Mixture(name=str(facts.get("mixture")), rule=RULES[0], sets=sets)


def unseen_suites(suites, data):
    """Suites with their unseen sets alone, and why the others are left out: (list, dict by set).

    data: the folder of prompted pairs that the model was fine-tuned on. Raises :class:`UserError`
    where no set is unseen, or the cluster of one is not known.
    """
    mixture, kept, left_out = trained_mixture(data), [], {}
    for suite in suites:
        sets = []
        for suite_set in suite.sets:
            if mixture.is_unseen(suite_set.dataset, suite_set.cluster):
                sets.append(suite_set)
            else:
                cluster = mixture.cluster_of(suite_set.dataset) or suite_set.cluster
                left_out[suite_set.name] = (
                    f"not unseen: {data} trains on sets of the cluster {cluster}"
                )
        if sets:
            changed = len(sets) < len(suite.sets)
            kept.append(replace(suite, sets=tuple(sets), runs=None if changed else suite.runs))
    if not kept:
        raise UserError(
            f"--unseen-by {data}: no set of {', '.join(suite.name for suite in suites)} is unseen by "
            f"the mixture {mixture.name}; hold its cluster out of training (--hold-out)"
        )
    return kept, left_out
