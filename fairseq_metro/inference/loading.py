"""From a run's folder to a model that answers: what :func:`fairseq_metro.load` does."""

import copy
import tempfile
from pathlib import Path

import torch
from fairseq import models, tasks, utils
from omegaconf import OmegaConf, open_dict

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json
from fairseq_metro.inference.predictor import Predictor
from fairseq_metro.interchange.checkpoint_settings import checked_settings
from fairseq_metro.interchange.hugging_face import CONFIG, is_release
from fairseq_metro.interchange.import_t5 import import_t5
from fairseq_metro.interchange.model import read_model
from fairseq_metro.interchange.run_folder import write_run_folder
from fairseq_metro.models.checked_loading import refuse_not_finite
from fairseq_metro.trainer.checkpoint_names import find_checkpoint
from fairseq_metro.trainer.checkpoints import load_weights_only, read_facts
from fairseq_metro.vocabulary.authors import is_ours
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER, Vocabulary


def load(source, device=None, frozen_model=None):
    """The :class:`~fairseq_metro.inference.predictor.Predictor` of a trained model.

    source: a run's folder (its newest ``checkpoint_last.pt``, in it or one folder below), one of its
    checkpoint files or ``RUN@UPDATES``, with a vocabulary folder ``vocab/`` beside; or a Hugging Face
    folder, of METRO-T0 (as ``fairseq-metro export`` writes it) or of T5. device: "cpu", "cuda", ...;
    None: a GPU where there is one. frozen_model: of a soft prompt, the model it was trained with. A
    METRO-T5 model leaves its auxiliary model and RTD head behind.

    Raises :class:`UserError` where there is no such folder, no whole checkpoint, or no vocabulary
    or another than that of the training.
    """
    source, device = Path(source), choose_device(device)
    if source.is_dir() and is_release(source):
        with tempfile.TemporaryDirectory() as folder:
            return _load(_import(source, Path(folder) / "run"), device)
    return _load(find_checkpoint(source), device, frozen_model)


def _import(source, out):
    """A Hugging Face folder as a run's folder ``out``; returns its checkpoint."""
    config = read_json(source / CONFIG)
    config = config if isinstance(config, dict) else {}
    authors = any("Fairseq" in str(name) for name in config.get("architectures") or [])
    if config.get("model_type") in ("t5", "mt5") and not authors:
        return import_t5(source, out)
    return write_run_folder(read_model(source, main_only=True), out)


def find_vocabulary_of(checkpoint, facts):
    """The vocabulary beside a checkpoint or one folder above, checked against the training's."""
    folders = [folder / VOCAB_FOLDER for folder in (checkpoint.parent, checkpoint.parent.parent)]
    vocabulary = Vocabulary.load(next(filter(is_ours, folders), folders[0]))
    theirs = facts["task_state"].get("stamp", {}).get("vocabulary", vocabulary.hash)
    if theirs != vocabulary.hash:
        raise UserError(
            f"{checkpoint}: trained with vocabulary {theirs[:12]}, but {vocabulary.path} is "
            f"{vocabulary.hash[:12]}; put the folder it was trained with there"
        )
    return vocabulary


def choose_device(name):
    """The torch.device of a name; None: a GPU where there is one. Raises :class:`UserError`."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r} cannot be used ({reason}); give cpu") from None
    return device


def _load(checkpoint, device, frozen_model=None):
    cfg, task, vocabulary, state = open_checkpoint(checkpoint, frozen_model=frozen_model)
    model = build_main_model(cfg.model, task)
    model.load_state_dict(state, strict=True, model_cfg=cfg.model)
    source, target = utils.resolve_max_positions(task.max_positions(), model.max_positions())
    # The task's own limit is of sources where it has one for each side.
    target = min(target, cfg.task.get("max_target_length") or target)
    symbol = cfg.model.get("decoder_start") or vocabulary.roles["decoder_start"]
    if symbol not in vocabulary.indices:
        raise UserError(
            f"{checkpoint}: its decoder starts with {symbol!a}, which is not in {vocabulary.path}; "
            "put the vocabulary folder it was trained with there"
        )
    return Predictor(
        model.to(device).eval(), task, vocabulary, vocabulary.indices[symbol], (source, target)
    )


def open_checkpoint(checkpoint, data=None, frozen_model=None):
    """(cfg, its task, :class:`Vocabulary`, state dict) of a checkpoint file of ours.

    data: the task's data folder; None: the checkpoint's own, which has none. frozen_model: of a soft
    prompt, the model it was trained with. Raises :class:`UserError`, also for a configuration that
    names anything but this package's classes.
    """
    checkpoint = Path(checkpoint).absolute()
    facts = read_facts(checkpoint)
    settings = checked_settings(facts["cfg"], checkpoint)
    for part in ("task", "model"):
        if settings.get(part) is None:
            raise UserError(f"{checkpoint}: its configuration has no {part}; it is not opened")
    vocabulary = find_vocabulary_of(checkpoint, facts)
    state = load_weights_only(checkpoint)
    refuse_not_finite(state["model"], checkpoint)
    # As fairseq-interactive with a run's folder for data: the training's may be long gone.
    settings["task"]["data"] = str(data or checkpoint.parent)
    settings["task"]["vocab"] = str(vocabulary.path)
    settings["task"]["sentencepiece_model"] = ""  # it is in the vocabulary folder
    settings["task"]["init_from"] = str(frozen_model or "")
    cfg = OmegaConf.create(settings)
    return cfg, tasks.setup_task(cfg.task, from_checkpoint=True), vocabulary, state["model"]


def build_main_model(cfg, task):
    """The model of a checkpoint; of a METRO-T5 one the main model, which shares its fields."""
    if not str(cfg._name).startswith("metro_t5"):
        return task.build_model(cfg, from_checkpoint=True)
    cfg = copy.deepcopy(cfg)
    with open_dict(cfg):
        cfg._name = "t5_transformer"
    return models.build_model(cfg, task, from_checkpoint=True)
