"""``--soft-prompt-tokens``: fine-tuning trains vectors before a frozen model's input, not the model.

The number of vectors is kept in the model's configuration, so that whoever loads the checkpoint
builds the same; see :mod:`fairseq_metro.models.soft_prompt`.
"""

import logging
from contextlib import nullcontext

from omegaconf import OmegaConf, open_dict

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.padding import PAD_TO_MULTIPLE, padded_width
from fairseq_metro.interchange.init_from import initialize_from
from fairseq_metro.models.soft_prompt import add_soft_prompt

logger = logging.getLogger(__name__)

TOKENS = "soft_prompt_tokens"  # of the task's options, and of a saved model's configuration


def refuse_unfit_options(options, cfg):
    """Raise :class:`UserError` for options that a soft prompt excludes. cfg: the model's."""
    tokens = getattr(options, TOKENS)
    if not tokens:
        return
    if options.pack:
        raise UserError("--soft-prompt-tokens and --pack: a prompt stands before one example; "
                        "leave one of them out")  # fmt: skip
    length = tokens + padded_width(options.max_source_length)
    positions = getattr(cfg, "max_positions", length)
    room = (positions - tokens) // PAD_TO_MULTIPLE * PAD_TO_MULTIPLE
    if length > positions:
        raise UserError(
            f"--soft-prompt-tokens {tokens} and --max-source-length {options.max_source_length} "
            f"make {length} positions (with padding), the model has --max-positions {positions}; "
            + (f"give --max-source-length {room} or less" if room > 0 else "shorten the prompt")
        )


def refuse_another_number(options, facts):
    """Raise :class:`UserError` where a checkpoint to resume has another number of vectors."""
    number, saved = getattr(options, TOKENS), (facts["cfg"].get("model") or {}).get(TOKENS, 0)
    if number != saved:
        raise UserError(
            f"{facts['path']}: trained with --soft-prompt-tokens {saved}, but here it is {number}; "
            "give the same, or another --save-dir"
        )


def begin_soft_prompt(task, model, cfg, resumed):
    """The model to train: ``model`` just built from ``cfg``, frozen, behind a prompt.

    Its parameters are those that ``--init-from`` names; of a resumed run without it, those that the
    checkpoint names. Raises :class:`UserError` where neither is.
    """
    tokens, source = getattr(task.cfg, TOKENS), task.cfg.init_from or None
    if source is None and not resumed:
        raise UserError(
            f"--soft-prompt-tokens {tokens}: the model behind the prompt is not trained, so it "
            "must be a trained one; give it with --init-from"
        )
    with open_dict(cfg) if OmegaConf.is_config(cfg) else nullcontext():
        setattr(cfg, TOKENS, tokens)
    prompted = add_soft_prompt(
        model, tokens, load=_loader(task, cfg), source=source, seed=task.cfg.seed
    )
    logger.info(
        f"soft prompt: {tokens} vectors of {prompted.soft_prompt.size(1)} are trained, the model "
        "is frozen"
    )
    return prompted


def restored_soft_prompt(task, model, cfg):
    """The model of a checkpoint whose configuration is ``cfg``: behind a prompt if that was."""
    tokens = getattr(cfg, TOKENS, 0)
    if not tokens:
        return model
    return add_soft_prompt(model, tokens, load=_loader(task, cfg), named=task.cfg.init_from or "")


def _loader(task, cfg):
    return lambda model, path: initialize_from(model, cfg, task.vocabulary, path)
