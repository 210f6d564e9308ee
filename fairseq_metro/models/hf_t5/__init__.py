"""T5 v1.0 and v1.1 as Hugging Face has them, for models that exist already."""

from fairseq_metro.models.hf_t5.architectures import ARCHITECTURES, register_architectures
from fairseq_metro.models.hf_t5.config import HfT5Config
from fairseq_metro.models.hf_t5.model import HfT5Model

__all__ = ["ARCHITECTURES", "HfT5Config", "HfT5Model"]

register_architectures()
