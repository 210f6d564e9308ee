"""RoBERTa with its masked-LM head: teachers and students of prompt distillation."""

from fairseq_metro.models.roberta.architectures import ARCHITECTURES, sizes_of
from fairseq_metro.models.roberta.config import RobertaMLMConfig
from fairseq_metro.models.roberta.model import RobertaMLMModel, RobertaStates
from fairseq_metro.models.sizes import register_sizes

__all__ = ["ARCHITECTURES", "RobertaMLMConfig", "RobertaMLMModel", "RobertaStates"]

register_sizes("roberta_mlm", ARCHITECTURES, sizes_of)
