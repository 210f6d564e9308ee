"""Log-probability of every token, and whether it is the likeliest one, for other harnesses."""

import torch

from fairseq_metro.scoring.choices import MAX_TOKENS, evaluating
from fairseq_metro.scoring.layout import lay_out, logits_of, scoring_batches


def score_tokens(model, inputs, targets, *, pad, decoder_start, max_tokens=MAX_TOKENS):
    """For each input a list with (log p (S_ij,) float32, likeliest (S_ij,) bool) of each target.

    inputs: N sources (T_i,) int64; targets: for each input its list of targets (S_ij,) int64, none of
    them empty. Every input is encoded once. The rest is as for
    :func:`~fairseq_metro.scoring.score_choices`, whose scores are the sums of these numbers.
    """
    scores = [None] * len(inputs)
    with evaluating(model), torch.no_grad():
        for batch, shapes in scoring_batches(model, inputs, targets, max_tokens):
            layout = lay_out([targets[i] for i in batch], shapes, pad, decoder_start)
            pairs = iter(_by_target(model, [inputs[i] for i in batch], layout, pad))
            for i in batch:
                scores[i] = [next(pairs) for _ in targets[i]]
    return scores


def _by_target(model, sources, layout, pad):
    """(log p, likeliest) of each target of a layout, on the CPU: pairs."""
    log_p, likeliest = [], []
    for _, logits, targets in logits_of(model, sources, layout, pad):
        log_probs = logits.log_softmax(-1)
        log_p.append(log_probs.gather(1, targets.unsqueeze(1)).squeeze(1))
        likeliest.append(log_probs.argmax(-1) == targets)
    split = (torch.cat(parts).cpu().split(layout.lengths) for parts in (log_p, likeliest))
    return zip(*split, strict=True)
