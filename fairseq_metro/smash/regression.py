"""Scores in an interval as a point between two label words (SMASH, section 3.1; LM-BFF).

p = softmax of the mask's logits over (the low word, the high word); q, the gold point:
((u - y) / (u - l), (y - l) / (u - l)); the predicted score: l + (u - l) p(high word).
"""

import torch

from fairseq_metro.common.errors import UserError

# The paper's KL(pred|gold) is infinite where q has a zero, at scores l and u: q stays this far off.
LEAST_GOLD = 1e-4


def gold_points(scores, low, high):
    """q: scores (B,) of any float dtype -> (B, 2) fp32, rows sum to 1.

    Raises :class:`UserError` for a score outside the interval.
    """
    share = (scores.float() - low) / (high - low)
    if share.numel() and not bool(((share >= 0) & (share <= 1)).all()):
        raise UserError(f"a score lies outside [{low}, {high}]; check the interval of the task")
    return torch.stack([1 - share, share], dim=-1)


def predicted_scores(logits, low, high):
    """Scores in [low, high]: logits (B, 2) of the low and the high word -> (B,) fp32."""
    return low + (high - low) * logits.float().softmax(dim=-1)[..., 1]


def kl_gold(logits, q):
    """KL(q | p), 0 log 0 = 0; least, 0, at p = q: logits (B, 2), q (B, 2) -> (B,) fp32."""
    log_p = logits.float().log_softmax(dim=-1)
    return (torch.xlogy(q, q) - q * log_p).sum(dim=-1)


def kl_pred(logits, q):
    """KL(p | q), as the paper prints it, with q at least LEAST_GOLD, so that it is finite."""
    log_p = logits.float().log_softmax(dim=-1)
    q = q.clamp(LEAST_GOLD, 1 - LEAST_GOLD)
    return (log_p.exp() * (log_p - q.log())).sum(dim=-1)


def kl_lmbff(logits, q):
    """What LM-BFF's code minimises: sum of e^q (q - log p), least at p proportional to e^q.

    It hands probabilities to torch's KL with ``log_target=True``; predicted scores of [0, 5] end
    in [1.34, 3.66]. For comparison with its numbers.
    """
    log_p = logits.float().log_softmax(dim=-1)
    return (q.exp() * (q - log_p)).sum(dim=-1)


LOSSES = {"gold": kl_gold, "pred": kl_pred, "lmbff": kl_lmbff}


def regression_loss(logits, scores, low, high, direction="gold"):
    """The verbalizer KL of each example: logits (B, 2), scores (B,) -> (B,) fp32.

    direction: "gold" KL(q|p), "pred" KL(p|q), "lmbff". Raises :class:`UserError`.
    """
    if direction not in LOSSES:
        raise UserError(f"regression loss {direction!r}, must be one of {', '.join(LOSSES)}")
    return LOSSES[direction](logits, gold_points(scores, low, high))
