"""The seven released pretraining configurations, in the terms of this package."""

from functools import cache
from importlib.resources import files

import yaml

from fairseq_metro.common.errors import UserError

_TASKS = {"t5_metro": "metro_t5", "t5": "t5"}


@cache
def _published():
    text = files("fairseq_metro.recipes").joinpath("published.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def names():
    """The released configurations by their names."""
    return list(_published()["configurations"])


def start(name):
    """Arguments of ``recipes.options`` that correspond to a released configuration."""
    config = _configuration(name)
    return {
        "objective": _TASKS[config["task"]],
        "size": name.split("_")[-2],
        "recipe": "release",
        "processes": config["gpus"],
        "tokens": config["max_tokens"],
    }


def numbers(name):
    """What a released configuration sets, under this package's names of options: a dict.

    Invalid values are replaced by our reading of them. Choices that have no option of their own
    bear the names of :mod:`fairseq_metro.common.recipes`.
    """
    config, common = _configuration(name), _published()["common"]
    shared = "tokens_per_sample sample_break_mode mask_prob max_positions dropout attention_dropout"
    shared += " adam_betas adam_eps weight_decay lr_scheduler warmup_updates"
    settings = {key: common[key] for key in shared.split()}
    settings |= {
        key: config[key] for key in "max_tokens update_freq lr max_update clip_norm".split()
    }
    settings |= _published()["architectures"][config["arch"]]
    settings["total_num_update"] = config[
        "max_update"
    ]  # the decay's power 1 ends where training does
    settings["long_lines"] = common["shorten_method"]
    objective = {**config["objective"], **config["reading"]}
    if config["task"] == "t5":
        return settings | {key: objective[key] for key in ("mask_multiple_length", "empty_prob")}
    return settings | {
        "lambda_clm": objective["discriminator_loss_weight"],
        "lambda_rtd": objective["rtd_loss_weight"],
        "clm_positions": {"lm": "masked"}[objective["masked_positions_only"]],
        "mask_pattern": {1: "iid"}[objective["mask_multiple_length"]],
        "weighted_lm_loss": objective["weighted_lm_loss"],
        "auxiliary_layers": objective["generator_layers"],
        "auxiliary_dropout": {True: 0.0}[objective["generator_zero_dropout"]],
        "rtd_head": objective["rtd_head"],
        "share_auxiliary": objective["share_generator_discriminator_embed"],
    }


def _configuration(name):
    configurations = _published()["configurations"]
    if name not in configurations:
        raise UserError(f"{name!r} is no released configuration; known: {', '.join(names())}")
    return configurations[name]
