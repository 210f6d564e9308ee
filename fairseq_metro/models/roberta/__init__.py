"""RoBERTa with its masked-LM head: teachers and students of prompt distillation."""

from fairseq_metro.models.roberta.architectures import ARCHITECTURES, register_architectures
from fairseq_metro.models.roberta.config import RobertaMLMConfig
from fairseq_metro.models.roberta.model import RobertaMLMModel, RobertaStates

__all__ = ["ARCHITECTURES", "RobertaMLMConfig", "RobertaMLMModel", "RobertaStates"]

register_architectures()
