"""Sizes that no model can have are one line, before anything is built."""

import dataclasses

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.models.hf_t5 import HfT5Config, HfT5Model
from fairseq_metro.models.metro_t5 import MetroT5Config, MetroT5Model
from fairseq_metro.models.roberta import RobertaMLMConfig, RobertaMLMModel
from fairseq_metro.models.sizes import ABOVE_ZERO, DROPOUTS, WHOLE_NUMBERS
from tests.tiny import dictionary, task

KINDS = [
    (MetroT5Config, MetroT5Model),
    (HfT5Config, HfT5Model),
    (RobertaMLMConfig, RobertaMLMModel),
]
BAD = {
    **{name: (least - 1, most + 1, -7) for name, (least, most) in WHOLE_NUMBERS.items()},
    **dict.fromkeys(DROPOUTS, (-0.1, 1.0, float("nan"))),
    **dict.fromkeys(ABOVE_ZERO, (0.0, -1.0, float("nan"), float("inf"))),
}


@pytest.mark.parametrize(("config", "model"), KINDS, ids=lambda kind: kind.__name__)
def test_a_size_that_cannot_be_is_one_line_that_names_the_option(config, model):
    names = [field.name for field in dataclasses.fields(config) if field.name in BAD]
    assert {"embed_dim", "attention_heads", "encoder_layers", "dropout", "max_positions"} <= {
        *names
    }
    for name in names:
        for value in BAD[name]:
            with pytest.raises(
                UserError, match=f"^--{name.replace('_', '-')} is {value}, must be "
            ):
                model.build_model(config(**{name: value}), task())


def test_every_number_of_a_model_has_a_bound():
    """A new option of a model belongs into one of the three tables, unless it is a switch."""
    for config, _ in KINDS:
        for field in dataclasses.fields(config):
            if field.type in (int, float) or "float" in str(field.type):
                assert field.name in BAD, f"{config.__name__}.{field.name}"


def test_more_layers_than_the_memory_holds_are_refused_before_they_are_built():
    with pytest.raises(UserError, match="must be a whole number from 1 to 1,000"):
        MetroT5Model.build_model(MetroT5Config(encoder_layers=10**9), task())
    with pytest.raises(UserError, match="'12', must be a whole number"):
        RobertaMLMModel(RobertaMLMConfig(attention_heads="12"), dictionary())
