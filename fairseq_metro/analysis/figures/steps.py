"""The models of a run, by pretraining step: its start, and every checkpoint that it kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fairseq import utils

from fairseq_metro.analysis.figures.plotting import labelled, refuse_equal_labels
from fairseq_metro.common.errors import UserError
from fairseq_metro.inference.loading import build_main_model, find_checkpoint, open_checkpoint
from fairseq_metro.trainer.checkpoint_names import named_checkpoint
from fairseq_metro.trainer.checkpoints import is_whole, read_facts


@dataclass(frozen=True)
class Step:
    """A model to look at: ``label`` of its run, ``update``, and the checkpoint file at ``path``.

    start: the model as the run began, built anew of the checkpoint's configuration and seed.
    """

    label: str
    update: int
    path: Path
    start: bool = False


def steps_of(words, updates=None):
    """The steps of runs, ``LABEL=RUN`` or ``RUN`` each, rising in each run: list of :class:`Step`.

    RUN: a folder, one checkpoint file, or ``FOLDER@UPDATES``. updates: only these. The start comes
    first where it is known: not of a run that began with another model's parameters. Raises
    :class:`UserError`.
    """
    run_steps = []
    for label, path in labelled(words):
        label = label or Path(path).resolve().name
        steps = [*_of_folder(label, named_checkpoint(path))]
        if updates is not None:
            there = {step.update: step for step in steps}
            if missing := [update for update in updates if update not in there]:
                raise UserError(
                    f"{path}: no checkpoint of update {missing[0]}; it has those of "
                    f"{', '.join(map(str, there))}"
                )
            steps = [there[update] for update in sorted(set(updates))]
        run_steps.append(steps)
    refuse_equal_labels(steps[0].label for steps in run_steps)
    return [step for steps in run_steps for step in steps]


def _of_folder(label, path):
    """The steps of one run."""
    single = path.is_file()  # one checkpoint
    files = [path] if single else sorted(find_checkpoint(path).parent.glob("checkpoint*.pt"))
    facts = {}
    for file in files:
        if single or is_whole(file):
            latest = read_facts(file)
            facts.setdefault(latest["num_updates"] or 0, (file, latest))
    file, latest = next(iter(facts.values()))
    if not single and 0 not in facts and _began_anew(latest):
        yield Step(label, 0, file, start=True)
    for update in sorted(facts):
        yield Step(label, update, facts[update][0])


def _began_anew(facts):
    """Whether a run began with random parameters, and so can be begun again."""
    cfg = facts["cfg"]
    before = [
        (cfg.get("task") or {}).get("init_from"),
        (cfg.get("checkpoint") or {}).get("finetune_from_model"),
    ]
    return bool(facts["num_updates"]) and not any(before)


def load_step(step, data=None, whole=False):
    """(model in evaluation mode, cfg, task, vocabulary) of a step.

    whole: with the auxiliary model and the RTD head of METRO-T5. data: a data folder for the task.
    """
    cfg, task, vocabulary, state = open_checkpoint(step.path, data)
    if step.start:
        # As fairseq-train begins: its seed, then the task's model.
        np.random.seed(cfg.common.seed)
        utils.set_torch_seed(cfg.common.seed)
        state = task.build_model(cfg.model, from_checkpoint=True).state_dict()
    if whole:
        model = task.build_model(cfg.model, from_checkpoint=True)
    else:
        model = build_main_model(cfg.model, task)
    model.load_state_dict(state, strict=True, model_cfg=cfg.model)
    return model.eval(), cfg, task, vocabulary
