"""Losses of prompt distillation (SMASH, equations 2 to 4), one number per example, in float32.

Every loss of an example depends on that example alone, so sums over a batch are the same for any
padding, order, and cutting into micro-batches.
"""

import torch
import torch.nn.functional as F

from fairseq_metro.common.errors import UserError

LEAST = -100.0  # log probability of the rest where all symbols are chosen, so that none is left


def logits_of(found):
    """Of a model that returns logits, or logits and something."""
    return found[0] if isinstance(found, tuple) else found


def averaged_log_probs(logits, temperature=1.0):
    """Log of the mean of several teachers' distributions: list of logits (M, V) -> (M, V) float32.

    The mean is of probabilities, each softmax(logits / temperature).
    """
    logs = [F.log_softmax(each.float() / temperature, dim=-1) for each in logits]
    if len(logs) == 1:
        return logs[0]
    return torch.logsumexp(torch.stack(logs), dim=0) - torch.tensor(float(len(logs))).log()


def entropy(log_q):
    """-sum q log q of each row: log q (M, V) -> (M,); impossible symbols count nothing."""
    return -_expected(log_q, log_q)


def cross_entropy(logits, log_q, temperature=1.0):
    """-sum q log s of each row (SMASH, equation 2): student's logits (M, V), log q (M, V) -> (M,).

    s is softmax(logits / temperature).
    """
    return -_expected(log_q, F.log_softmax(logits.float() / temperature, dim=-1))


def _expected(log_q, values):
    q = log_q.exp()
    return torch.where(q > 0, q * values, 0.0).sum(-1)


def with_rest(logits, ids):
    """Log probabilities of chosen symbols, and of all others as one class: (M, k + 1) float32.

    logits (M, V), ids (M, k) int64, different in a row. With all V chosen the rest is as good as
    impossible, and finite, so that rounding in the teacher's rest does no harm.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    others = log_p.scatter(-1, ids, LEAST).logsumexp(-1, keepdim=True)
    return torch.cat((log_p.gather(-1, ids), others), dim=-1)


def top_k_cross_entropy(logits, ids, log_q):
    """-sum q log s over the teacher's k likeliest symbols and the rest as one class -> (M,).

    logits (M, V) the student's; ids (M, k) int64; log_q (M, k + 1), the rest last. Less the entropy
    of q it is at most the Kullback-Leibler divergence of the full distributions, and equals it for
    k = V.
    """
    return -_expected(log_q, with_rest(logits, ids))


def label_cross_entropy(logits, words, label):
    """Cross entropy among label words alone: logits (M, V), words (L,) ids, label (M,) -> (M,)."""
    return F.cross_entropy(logits.index_select(1, words).float(), label, reduction="none")


def layer_pairs(student, teacher):
    """(m, g(m)) for student layers 1 to M, where g(m) = m * teacher / student (Jiao et al., 2020).

    Numbers of layers, from 1; 0 is the embeddings' output. Raises :class:`UserError` where g(m) is no
    whole number.

    >>> layer_pairs(6, 12)
    [(1, 2), (2, 4), (3, 6), (4, 8), (5, 10), (6, 12)]
    """
    if teacher % student:
        raise UserError(
            f"the teacher has {teacher} layers, no multiple of the student's {student}, so layers do "
            "not pair; leave out --hidden-weight and --attention-weight"
        )
    return [(m, m * (teacher // student)) for m in range(1, student + 1)]


def hidden_pairs(student, teacher):
    """Places in the lists of hidden states, which begin with the embeddings' output.

    >>> hidden_pairs(2, 4)
    [(0, 0), (1, 2), (2, 4)]
    """
    return [(0, 0), *layer_pairs(student, teacher)]


def attention_pairs(student, teacher):
    """Places in the lists of attention scores, which begin with layer 1's.

    >>> attention_pairs(2, 4)
    [(0, 1), (1, 3)]
    """
    return [(m - 1, g - 1) for m, g in layer_pairs(student, teacher)]


def hidden_loss(student, teacher, real):
    """Equation 3: sum over layers of the mean squared difference of an example's states -> (B,).

    student, teacher: tuples of (B, T, C), one more than layers; real (B, T) bool: no padding.
    """
    total = 0.0
    for m, g in hidden_pairs(len(student) - 1, len(teacher) - 1):
        squares = (student[m].float() - teacher[g].float()).square().mean(-1)
        total = total + _mean_where(squares, real)
    return total


def attention_loss(student, teacher, real):
    """Equation 4: sum over layers and heads of the mean squared difference of scores -> (B,).

    student, teacher: tuples of (B, H, T, T), one per layer, before the softmax (as TinyBERT); real
    (B, T) bool: padded queries and keys count nothing.
    """
    pairs = real[:, :, None] & real[:, None, :]
    total = 0.0
    for m, g in attention_pairs(len(student), len(teacher)):
        squares = (student[m].float() - teacher[g].float()).square().sum(1)  # over heads
        total = total + _mean_where(squares.flatten(1), pairs.flatten(1))
    return total


def cosine_loss(student, teacher, real):
    """DistilBERT's: mean over an example's tokens of 1 - cos(student's state, teacher's) -> (B,).

    student, teacher: last states (B, T, C); real (B, T) bool: no padding. Sanh et al. (2019).
    """
    return _mean_where(1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1), real)


def mean_by_row(values, row, rows):
    """Mean of the values of each row, 0 where there are none: values (M,), row (M,) int64 -> (rows,).

    >>> mean_by_row(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2]), 3).tolist()
    [2.0, 0.0, 5.0]
    """
    count = values.new_zeros(rows).index_add(0, row, torch.ones_like(values))
    return values.new_zeros(rows).index_add(0, row, values) / count.clamp(min=1)


def _mean_where(values, chosen):
    """Mean of each row of (B, N) where ``chosen``: (B,)."""
    return torch.where(chosen, values, 0.0).sum(1) / chosen.sum(1)
