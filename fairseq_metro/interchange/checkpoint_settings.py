"""What the configuration inside a checkpoint may say, checked before anything is built from it.

A checkpoint can come from a stranger. Weights-only loading keeps code out of its tensors, but its
configuration names classes that are registered with fairseq, and several of those evaluate their
options as Python (``--conv-feature-layers`` of wav2vec2, ``--encoder-layers`` of fconv), import
modules or open files. So a checkpoint that is opened may name this package's tasks, models and
criterions alone, with the fields of their dataclasses and values of the fields' types. No path in
it is followed: :data:`PATHS` are emptied, and whoever opens the checkpoint gives their own.

Training is not concerned: ``fairseq-train`` takes its configuration from the command line.
"""

import copy
import functools
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from fairseq import checkpoint_utils
from fairseq.dataclass import FairseqDataclass
from fairseq.dataclass.utils import overwrite_args_by_name
from fairseq.file_io import PathManager
from fairseq.models import (
    ARCH_MODEL_NAME_REGISTRY,
    ARCH_MODEL_REGISTRY,
    MODEL_DATACLASS_REGISTRY,
    MODEL_REGISTRY,
)
from fairseq.registry import REGISTRIES
from fairseq.tasks import TASK_DATACLASS_REGISTRY, TASK_REGISTRY
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import fairseq_metro
from fairseq_metro.common.errors import UserError, shown
from fairseq_metro.trainer.checkpoint_names import LAST
from fairseq_metro.trainer.checkpoints import first_line, load_weights_only

# Fields of a task that name files or folders, and what they are when a checkpoint is opened.
PATHS = {
    "data": "",
    "vocab": "",
    "sentencepiece_model": "",
    "init_from": "",
    "teacher": "",
    "teacher_cache": "",
    "save_dir": "",
    "restore_file": LAST,
    "finetune_from_model": None,
}
# What a task writes into the model's configuration beside the fields of its dataclass.
ADDED = {"model": {"soft_prompt_tokens": int}}
# A name of the package's own, or else the path of a YAML file.
NAME_OR_PATH = "fewshot_task"
# Groups from which nothing is built when a checkpoint is opened: the stock classes may be named.
STOCK_ALLOWED = ("optimizer", "lr_scheduler", "scoring")
# Groups of which this package has no class, and whose stock classes read files.
NOT_NAMED = ("bpe", "tokenizer", "simul_type")
DEEPEST = 8
# A parameter of the authors' models, which no model of ours has.
AUTHORS_KEY = "decoder.layernorm_embedding.weight"


def checked_settings(settings, origin):
    """A copy of a checkpoint's configuration from which a task and a model may be built.

    settings: ``cfg`` of the checkpoint, a dict of dicts of plain values. origin: the file, for
    messages. Returns the same structure with the task's :data:`PATHS` emptied. Raises
    :class:`UserError` for a class that is not this package's, a field that its dataclass lacks, a
    value of another type, or an interpolation.
    """
    fairseq_metro.register()
    if not isinstance(settings, dict):
        raise UserError(f"{origin}: its configuration is no dict; it is not opened")
    _refuse_objects(settings, origin)
    settings = copy.deepcopy(settings)
    for group in ("task", "model", "criterion"):
        if settings.get(group) is not None:
            settings[group] = checked_group(group, settings[group], origin)
    for group in (*STOCK_ALLOWED, *NOT_NAMED):
        _refuse_unregistered(group, settings.get(group), origin)
    if settings.get("common") is not None:
        settings["common"] = {**_mapping("common", settings["common"], origin), "user_dir": None}
    return settings


def checked_group(group, values, origin):
    """The fields of one class, checked against its dataclass: dict.

    group: "task", "model" or "criterion"; values: dict with ``_name``. Raises :class:`UserError`.
    """
    values = _mapping(group, values, origin)
    name = values.get("_name")
    dataclass = dataclass_of(group, name)
    if dataclass is None:
        raise UserError(
            f"{origin}: its configuration names the {group} {shown(name)}, which is not one of "
            "fairseq_metro's; it is not opened, because building it could run code"
        )
    added = {key: values[key] for key in ADDED.get(group, ()) if key in values}
    if wrong := [key for key, value in added.items() if type(value) is not ADDED[group][key]]:
        raise UserError(
            f"{origin}: its configuration gives the {group} {name} {wrong[0]} = "
            f"{shown(added[wrong[0]])}, which is not a value of this field; it is not opened"
        )
    declared = {key: value for key, value in values.items() if key not in added}
    if unknown := sorted(declared.keys() - {field.name for field in fields(dataclass)}):
        raise UserError(
            f"{origin}: its configuration gives the {group} {name} a field {shown(unknown[0])}, "
            "which it does not have; it is not opened"
        )
    try:
        OmegaConf.merge(OmegaConf.structured(dataclass), declared)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "_name"
        value = values.get(str(key).partition(".")[0].partition("[")[0])
        raise UserError(
            f"{origin}: its configuration gives the {group} {name} {key} = {shown(value)}, which "
            f"is not a value of this field ({first_line(error)}); it is not opened"
        ) from None
    return _without_paths(values) if group == "task" else values


def dataclass_of(group, name):
    """The dataclass of one of this package's tasks, models or criterions; None for any other.

    A class that is registered without a dataclass has no options: ``FairseqDataclass``.
    """
    if not isinstance(name, str):
        return None
    if group == "task":
        own, dataclass = TASK_REGISTRY.get(name), TASK_DATACLASS_REGISTRY.get(name)
    elif group == "model":
        own = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY.get(name)
        dataclass = MODEL_DATACLASS_REGISTRY.get(ARCH_MODEL_NAME_REGISTRY.get(name, name))
    else:
        registry = REGISTRIES[group]
        own, dataclass = (registry[key].get(name) for key in ("registry", "dataclass_registry"))
    if own is None or not own.__module__.startswith(f"{fairseq_metro.__name__}."):
        return None
    return dataclass or FairseqDataclass


def _without_paths(values):
    from fairseq_metro.smash.tasks import task_names

    values = {name: PATHS.get(name, value) for name, value in values.items()}
    if values.get(NAME_OR_PATH) and values[NAME_OR_PATH] not in task_names():
        values[NAME_OR_PATH] = ""
    return values


def _mapping(group, values, origin):
    if not isinstance(values, dict):
        raise UserError(f"{origin}: {group} of its configuration is no dict; it is not opened")
    return values


def _refuse_unregistered(group, values, origin):
    name = values.get("_name") if isinstance(values, dict) else values
    known = REGISTRIES[group]["registry"] if group in STOCK_ALLOWED else ()
    if name is not None and not (isinstance(name, str) and name in known):
        raise UserError(
            f"{origin}: its configuration names the {group.replace('_', ' ')} {shown(name)}, which "
            "no model of fairseq_metro has; it is not opened"
        )


def _refuse_objects(value, origin, depth=0):
    """Raise :class:`UserError` for anything but plain values, and for OmegaConf's ``${...}``."""
    if depth > DEEPEST:
        raise UserError(f"{origin}: its configuration is nested too deeply; it is not opened")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise UserError(
                    f"{origin}: a key of its configuration is {shown(key)}, must be text; it is "
                    "not opened"
                )
        inner = value.values()
    elif isinstance(value, (list, tuple)):
        inner = value
    elif value is None or isinstance(value, (bool, int, float)):
        return
    elif isinstance(value, str):
        if "${" in value or value == "???":
            raise UserError(
                f"{origin}: its configuration holds the interpolation {shown(value)}; it is not "
                "opened"
            )
        return
    else:
        raise UserError(
            f"{origin}: its configuration holds a {type(value).__name__}, must be plain values; it "
            "is not opened"
        )
    for item in inner:
        _refuse_objects(item, origin, depth + 1)


# fairseq's own commands


def guard_stock_loading():
    """Let fairseq-interactive, fairseq-generate and fairseq-validate check what they open (once).

    Stock fairseq builds whatever a checkpoint's configuration names. With this plugin imported, its
    :func:`load_model_ensemble_and_task`, which is their only way to a model, reads checkpoints by
    :func:`read_for_stock` instead. ``fairseq-train`` resumes by another function.
    """
    stock = checkpoint_utils.load_model_ensemble_and_task
    if hasattr(stock, "checks_settings"):
        return

    @functools.wraps(stock)
    def load_model_ensemble_and_task(*arguments, **options):
        with _replaced(checkpoint_utils, "load_checkpoint_to_cpu", read_for_stock):
            return stock(*arguments, **options)

    load_model_ensemble_and_task.checks_settings = True
    checkpoint_utils.load_model_ensemble_and_task = load_model_ensemble_and_task


def read_for_stock(path, arg_overrides=None, load_on_all_ranks=False):
    """A checkpoint of this package as fairseq's ``load_checkpoint_to_cpu`` would return it.

    So is one in the authors' names, which ``export_authors --format training`` writes. Its task's data
    folder is the folder that it lies in. arg_overrides: options of the command line,
    which win over the checkpoint's; they may be paths. Raises :class:`UserError` as
    :func:`checked_settings` does.
    """
    state = load_weights_only(Path(PathManager.get_local_path(path)))
    if AUTHORS_KEY in state["model"]:
        from fairseq_metro.interchange.import_authors import opened_checkpoint  # it imports this

        state = opened_checkpoint(Path(PathManager.get_local_path(path)))
    if state.get("args") is not None or state.get("cfg") is None:
        raise UserError(
            f"{path}: not a checkpoint of fairseq_metro's; import it first (fairseq-metro import, "
            "import-t5, import-roberta)"
        )
    settings = checked_settings(state["cfg"], path)
    if settings.get("task") is not None:
        settings["task"]["data"] = str(Path(path).parent)
    state["cfg"] = OmegaConf.create(settings)
    if arg_overrides:
        overwrite_args_by_name(state["cfg"], arg_overrides)
    return state


@contextmanager
def _replaced(module, name, function):
    before = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, before)
