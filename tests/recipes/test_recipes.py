"""Both groups of choices, pinned."""

from types import SimpleNamespace

import pytest
from fairseq.models import ARCH_CONFIG_REGISTRY

import fairseq_metro
from fairseq_metro.common.recipes import choices

fairseq_metro.register()

PAPER = dict(
    mlm_head="linear",
    auxiliary_dropout=None,
    share_auxiliary="token",
    initialization="paper",
    masking="mask",
    long_lines="split",
    one_token_blocks="drop",
    weighted_lm_loss=False,
    rtd_denominator="data",
)
RELEASE = dict(
    mlm_head="transform",
    auxiliary_dropout=0.0,
    share_auxiliary="token",
    initialization="release",
    masking="80_10_10",
    long_lines="random_crop",
    one_token_blocks="keep",
    weighted_lm_loss=True,
    rtd_denominator="batch",
)


@pytest.mark.parametrize("size", ["tiny", "small", "base", "basepp", "largepp"])
def test_the_papers_choices(size):
    assert choices("paper", size) == PAPER


@pytest.mark.parametrize(
    "size, changes",
    [
        ("base", {}),
        ("basepp", {"share_auxiliary": "token_pos_norm", "weighted_lm_loss": False}),
        (
            "largepp",
            {
                "relative_position_buckets": 128,
                "relative_position_max_distance": 256,
                "weighted_lm_loss": False,
            },
        ),
    ],
)
def test_the_releases_choices(size, changes):
    assert choices("release", size) == {**RELEASE, **changes}


def filled(arch, **given):
    args = SimpleNamespace(**given)
    ARCH_CONFIG_REGISTRY[arch](args)
    return args


def test_a_recipe_fills_in_the_model_and_the_command_line_wins():
    paper, release = filled("metro_t5_largepp"), filled("metro_t5_largepp", recipe="release")
    assert (paper.relative_position_buckets, paper.mlm_head) == (64, "linear")
    assert (release.relative_position_buckets, release.mlm_head) == (128, "transform")
    assert release.auxiliary_dropout == 0.0 and release.relative_position_max_distance == 256
    own = filled("metro_t5_largepp", recipe="release", mlm_head="linear")
    assert own.mlm_head == "linear"


def test_the_main_model_alone_takes_only_what_it_has():
    args = filled("t5_transformer_base", recipe="release")
    assert args.initialization == "release" and not hasattr(args, "mlm_head")
