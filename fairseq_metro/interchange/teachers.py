"""Frozen teachers of prompt distillation: what they say at the mask of a batch of prompts.

A teacher is only pretrained, in evaluation mode, without gradients, and part of no checkpoint.
"""

import hashlib

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.intermediate_dataset import ROBERTA
from fairseq_metro.interchange.mask_models import START, load_t5
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.models.hf_t5 import HfT5Model
from fairseq_metro.models.hf_t5.model import NO_LOGIT
from fairseq_metro.models.metro_t5 import T5TransformerModel
from fairseq_metro.modules.heads import select_rows


def parameters_hash(model):
    """SHA-256 over names, shapes and float32 values of a model's parameters."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


class Teacher:
    """One frozen model of RoBERTa's kind, or of T5's.

    ``hash``: of its parameters; ``model``; ``max_positions``. Not an ``nn.Module``, so that nothing
    that holds it saves it or trains it.
    """

    def __init__(self, model, origin):
        self.model, self.origin = model.eval().requires_grad_(False), str(origin)
        limit = model.max_positions()
        self.max_positions = limit[0] if isinstance(limit, tuple) else limit
        self.hash = parameters_hash(model)

    def like(self, parameter):
        """Put the model on a parameter's device and in its precision, if it is not there yet."""
        own = next(self.model.parameters())
        if (own.device, own.dtype) != (parameter.device, parameter.dtype):
            self.model.to(device=parameter.device, dtype=parameter.dtype)

    @torch.no_grad()
    def logits(self, net_input):
        """A batch of ``IntermediateDataset`` -> (B, V), at the mask alone."""
        found = self.model(**net_input)
        return found[0] if isinstance(found, tuple) else found

    @torch.no_grad()
    def states(self, net_input, hidden, attention):
        """RoBERTa's logits (B, V) and ``RobertaStates`` of a batch."""
        return self.model(**net_input, hidden=hidden, attention=attention)

    @torch.no_grad()
    def vectors(self, net_input):
        """What the output layer is applied to at the mask: (B, C).

        RoBERTa's after the head's dense layer, GELU and LayerNorm; T5's last decoder state.
        """
        model = self.model
        if not isinstance(model, T5TransformerModel):
            asked = (net_input[name] for name in ("src_tokens", "masked_index", "padded"))
            return model.mask_vector(*asked)
        encoded = model.encoder(
            net_input["src_tokens"], net_input["src_lengths"], padded=net_input["padded"]
        )
        states = model.decoder.extract_features(net_input["prev_output_tokens"], encoded)
        return select_rows(states, net_input["target_index"])

    def output_layer(self):
        """(table (V, C), bias (V,)), float32: logits are ``vectors @ table.T + bias``."""
        model = self.model
        if not isinstance(model, T5TransformerModel):
            table, bias = model.encoder.embed_tokens.weight, model.lm_head.bias
            return table.detach().float().cpu(), bias.detach().float().cpu()
        decoder = model.decoder
        table = decoder.embed_tokens.weight.detach().float().cpu().clone()
        bias = torch.zeros(len(table))
        if isinstance(model, HfT5Model):
            if decoder.output_projection is None:
                table *= table.size(1) ** -0.5
            else:
                table = decoder.output_projection.weight.detach().float().cpu().clone()
            if decoder.no_bos_logit:
                table[decoder.bos], bias[decoder.bos] = 0.0, NO_LOGIT
        return table, bias


def load_teachers(paths, vocabulary, kind):
    """The :class:`Teacher` of each path of a list.

    paths: local Hugging Face folders, runs' folders or checkpoints; vocabulary: the data's; kind:
    "roberta" or "t5". Raises :class:`UserError` for another vocabulary or kind of model. No random
    number is drawn: a student begins the same with a teacher as without.
    """
    with torch.random.fork_rng(devices=[]):
        return [_load(path, vocabulary, kind) for path in paths]


def _load(path, vocabulary, kind):
    model, theirs, start = _roberta(path) if kind == ROBERTA else _t5(path)
    if theirs != vocabulary.hash:
        raise UserError(
            f"--teacher {path}: its vocabulary is {theirs[:12]}, but the data's, {vocabulary.path}, "
            f"is {vocabulary.hash[:12]}; make the data with the teacher's"
        )
    ours = vocabulary.roles[START] if start is not None else None
    if start != ours:
        raise UserError(
            f"--teacher {path}: its decoder began with {start}, but the data's vocabulary says "
            f"{ours}; take a teacher trained without --pretraining-decoder-start"
        )
    return Teacher(model, path)


def _roberta(path):
    try:
        model, tokenizer = load_roberta(path)
    except UserError as error:
        raise UserError(f"--teacher {error}") from None
    return model, tokenizer.hash, None


def _t5(path):
    try:
        model, vocabulary, start = load_t5(path)
    except UserError as error:
        raise UserError(f"--teacher {error}") from None
    return model, vocabulary.hash, vocabulary.symbols[start]
