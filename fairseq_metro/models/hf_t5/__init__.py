"""T5 v1.0 and v1.1 as Hugging Face has them, for models that exist already."""

from fairseq_metro.models.hf_t5.architectures import ARCHITECTURES, sizes_of
from fairseq_metro.models.hf_t5.config import HfT5Config
from fairseq_metro.models.hf_t5.model import HfT5Model
from fairseq_metro.models.sizes import register_sizes

__all__ = ["ARCHITECTURES", "HfT5Config", "HfT5Model"]

register_sizes("hf_t5", ARCHITECTURES, sizes_of)
