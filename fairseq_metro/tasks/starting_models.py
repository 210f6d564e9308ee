"""Refuse models and checkpoints that fine-tuning cannot start from."""

import inspect
import logging
from pathlib import Path

from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.padding import padded_width
from fairseq_metro.trainer.checkpoints import LAST, read_facts

logger = logging.getLogger(__name__)

LEFT = ("auxiliary.", "rtd_head.")


def refuse_unfit_model(name, cfg, options):
    """Raise :class:`UserError` for a model that fine-tuning cannot train.

    name: of the model or architecture; cfg: its configuration; options: the task's.
    """
    if name.startswith("metro_t5"):
        raise UserError(
            f"--arch {name}: fine-tuning leaves the auxiliary model and the RTD head behind; "
            f"give --arch {name.replace('metro_t5', 't5_transformer', 1)}"
        )
    kind = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY[name]
    needed = {"target_index", "source_segments"} if options.pack else {"target_index"}
    if not needed <= inspect.signature(kind.forward).parameters.keys():
        raise UserError(
            f"--arch {name}: not a model that prompt_finetuning can train"
            f"{' with --pack' if options.pack else ''}; give t5_transformer_base, hf_t5_base or "
            "another size"
        )
    positions = getattr(cfg, "max_positions", None)
    for option in ("max_source_length", "max_target_length"):
        length = getattr(options, option)
        if positions is not None and padded_width(length) > positions:
            raise UserError(
                f"--{option.replace('_', '-')} {length} (padded to {padded_width(length)}) is "
                f"more than the model's --max-positions {positions}; shorten it or give the "
                "model more positions"
            )


def refuse_foreign_checkpoint(options, vocabulary):
    """``--finetune-from-model``, fairseq's own way to begin: a checkpoint of ours, same vocabulary.

    options: the task's. Logs what is left behind of a METRO-T5 checkpoint. Raises
    :class:`UserError`.
    """
    path = options.finetune_from_model
    if not isinstance(path, str) or not path:
        return
    option = f"--finetune-from-model {path}"
    if options.init_from:
        raise UserError("--finetune-from-model and --init-from: give one of them")
    if (Path(options.save_dir) / LAST).exists():
        return  # the run is resumed
    if not Path(path).is_file():
        raise UserError(f"{option}: no such file; --init-from also takes a folder")
    facts = read_facts(path)
    other = facts["task_state"].get("stamp", {}).get("vocabulary")
    if other is None:
        raise UserError(f"{option}: not a checkpoint of ours; give it with --init-from")
    if other != vocabulary.hash:
        raise UserError(
            f"{option}: trained with vocabulary {other[:12]}, but {vocabulary.path} is "
            f"{vocabulary.hash[:12]}; make the data with its"
        )
    if any(key.startswith(LEFT) for key in facts["parameters"]):
        logger.info(f"{option}: its auxiliary model and RTD head are left behind")
