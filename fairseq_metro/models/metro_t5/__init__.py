"""METRO-T5 (main model, auxiliary model, RTD head) and the main model alone."""

from fairseq_metro.models.metro_t5.architectures import ARCHITECTURES, sizes_of
from fairseq_metro.models.metro_t5.config import MetroT5Config, T5TransformerConfig
from fairseq_metro.models.metro_t5.model import MetroOutput, MetroT5Model, T5TransformerModel
from fairseq_metro.models.sizes import register_sizes

__all__ = [
    "ARCHITECTURES",
    "MetroOutput",
    "MetroT5Config",
    "MetroT5Model",
    "T5TransformerConfig",
    "T5TransformerModel",
]

for _model, _config in (("metro_t5", MetroT5Config), ("t5_transformer", T5TransformerConfig)):
    register_sizes(
        _model, ARCHITECTURES, lambda name, recipe, _config=_config: sizes_of(name, _config, recipe)
    )
