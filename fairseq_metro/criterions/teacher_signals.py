"""What the student is taught at the mask: by teachers in the loop, or from what they said before."""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.distillation_losses import (
    averaged_log_probs,
    cross_entropy,
    entropy,
    top_k_cross_entropy,
)


class Signal(NamedTuple):
    """Of M prompts: ``log_q`` (M, V) float32, or (M, k + 1) of ``ids`` (M, k) and all others.

    states: a teacher's ``RobertaStates`` where they were asked for.
    """

    log_q: torch.Tensor
    ids: torch.Tensor | None = None
    states: object = None

    def cross_entropy(self, logits, temperature):
        """Of the student's logits (M, V), equation 2: (M,) float32."""
        if self.ids is not None:
            return top_k_cross_entropy(logits, self.ids, self.log_q)
        return cross_entropy(logits, self.log_q, temperature)

    def entropy(self):
        """Of the teacher: (M,) float32."""
        return entropy(self.log_q)

    def likeliest(self):
        """The teacher's likeliest symbol: (M,) int64."""
        return self.log_q.argmax(-1) if self.ids is None else self.ids[:, 0]


class OnlineTeachers:
    """Runs each of a list of :class:`~fairseq_metro.interchange.teachers.Teacher` on every batch.

    They compute on the student's device and in its precision; probabilities are averaged.
    """

    def __init__(self, teachers, temperature, hidden=False, attention=False):
        self.teachers, self.temperature = teachers, temperature
        self.hidden, self.attention = hidden, attention

    def __call__(self, sample, parameter):
        """The :class:`Signal` of a batch; parameter: one of the student's."""
        for teacher in self.teachers:
            teacher.like(parameter)
        if self.hidden or self.attention:
            (teacher,) = self.teachers
            logits, states = teacher.states(sample["net_input"], self.hidden, self.attention)
            return Signal(averaged_log_probs([logits], self.temperature), states=states)
        logits = [teacher.logits(sample["net_input"]) for teacher in self.teachers]
        return Signal(averaged_log_probs(logits, self.temperature))


class CachedVectors:
    """Projects each teacher's stored vector at the mask by the teacher's output layer, in float32.

    layers: (table (V, C), bias (V,)) of each cache, float32 arrays.
    """

    def __init__(self, layers, temperature):
        self.layers = [tuple(map(torch.from_numpy, layer)) for layer in layers]
        self.temperature = temperature

    @torch.no_grad()
    def __call__(self, sample, parameter):
        """The :class:`Signal` of a batch; parameter: one of the student's."""
        device, logits = parameter.device, []
        self.layers = [tuple(part.to(device) for part in layer) for layer in self.layers]
        with torch.autocast(device.type, enabled=False):
            for (table, bias), stored in zip(self.layers, sample["teacher"], strict=True):
                logits.append(F.linear(stored["vectors"].float(), table, bias))
        return Signal(averaged_log_probs(logits, self.temperature))


class CachedTopK:
    """The stored likeliest symbols and the rest as one class; probabilities sum to one again."""

    @torch.no_grad()
    def __call__(self, sample, parameter):
        """The :class:`Signal` of a batch."""
        (stored,) = sample["teacher"]
        return Signal(F.log_softmax(stored["logp"].float(), dim=-1), stored["ids"])


def check_pairing(student, teacher, hidden, attention, cosine=False):
    """Raise :class:`UserError` where layers of two models cannot be held against each other.

    student, teacher: configurations with embed_dim, attention_heads.
    """
    for wanted, option, name, what in (
        (cosine, "--cosine-weight", "embed_dim", "width"),
        (hidden, "--hidden-weight", "embed_dim", "width"),
        (attention, "--attention-weight", "attention_heads", "number of attention heads"),
    ):
        ours, theirs = getattr(student, name), getattr(teacher, name)
        if wanted and ours != theirs:
            without = "give 0" if cosine else "leave it out"
            raise UserError(
                f"{option}: the teacher's {what} is {theirs}, the student's {ours}, so their layers "
                f"cannot be compared; {without}, or take another teacher"
            )
