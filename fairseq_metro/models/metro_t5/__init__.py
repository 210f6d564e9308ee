"""METRO-T5 (main model, auxiliary model, RTD head) and the main model alone."""

from fairseq_metro.models.metro_t5.architectures import ARCHITECTURES, register_architectures
from fairseq_metro.models.metro_t5.config import MetroT5Config, T5TransformerConfig
from fairseq_metro.models.metro_t5.model import MetroOutput, MetroT5Model, T5TransformerModel

__all__ = [
    "ARCHITECTURES",
    "MetroOutput",
    "MetroT5Config",
    "MetroT5Model",
    "T5TransformerConfig",
    "T5TransformerModel",
]

register_architectures("metro_t5", MetroT5Config)
register_architectures("t5_transformer", T5TransformerConfig)
