"""planning/published.yaml: the seven released configurations against the commands of ours."""

import ast

import pytest
from fairseq import options as fairseq_options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

import fairseq_metro
from fairseq_metro.common.recipes import choices
from fairseq_metro.recipes import published
from fairseq_metro.recipes.batches import share_out
from fairseq_metro.recipes.table import pretraining
from fairseq_metro.recipes.words import words

fairseq_metro.register()
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # hydra, of fairseq's own config


def resolved(said):
    """fairseq's own reading of a command: its whole config."""
    parser = fairseq_options.get_training_parser()
    return convert_namespace_to_omegaconf(
        fairseq_options.parse_args_and_arch(parser, ["DATA", *said])
    )


def ours(name):
    """(the row's batches, option -> value) of the command for a released configuration."""
    start = published.start(name)
    row = pretraining(start["objective"], start["size"], start["recipe"])
    batches = share_out(row, start["processes"], start["tokens"])
    cfg = resolved(words(row, batches, "run"))
    found = dict(choices("release", start["size"]))
    for group in ("lr_scheduler", "optimizer", "dataset", "criterion", "task", "model"):
        found |= cfg[group]
    found |= {key: cfg.optimization[key] for key in ("clip_norm", "max_update")}
    found["lr"], found["update_freq"] = cfg.optimization.lr[0], cfg.optimization.update_freq[0]
    found["lr_scheduler"] = cfg.lr_scheduler._name
    if "weighted_lm_loss" in cfg.criterion:
        found["weighted_lm_loss"] = {"yes": True, "no": False}[cfg.criterion.weighted_lm_loss]
    return batches, found


def test_there_are_seven():
    assert len(published.names()) == 7


@pytest.mark.parametrize("name", published.names())
def test_the_command_under_recipe_release_has_the_released_numbers(name):
    batches, found = ours(name)
    assert batches.update == 2048 * 512
    expected = published.numbers(name)
    assert len(expected) >= 25
    for option, value in expected.items():
        got = found[option]
        if option == "adam_betas":
            got, value = ast.literal_eval(got), ast.literal_eval(value)
        assert got == value, (option, got, value)
        assert isinstance(got, bool) == isinstance(value, bool), option


def test_the_paper_and_the_release_differ_where_the_facts_say():
    def row(*names):
        return pretraining(*names)

    assert row("metro_t5", "largepp").lr == 2e-4
    assert row("metro_t5", "largepp", "release").lr == 1e-4
    assert row("metro_t5", "largepp").updates == 1335000
    assert row("t5", "basepp").clip == 2.0 and row("t5", "basepp", "release").clip == 0.0
    for size in ("tiny", "small", "base"):
        paper, release = row("metro_t5", size), row("metro_t5", size, "release")
        assert (paper.lr, paper.updates, paper.clip) == (release.lr, release.updates, release.clip)
