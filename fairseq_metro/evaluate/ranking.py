"""Choices ranked: what the score of a choice is, in its five readings.

sum         log p(choice | input), its tokens and the end: T0's and METRO-T0's (facts of T0 Eval)
mean        divided by the number of tokens, the end counted
byte_mean   divided by the number of bytes of the choice's text
contextual  minus the log of the choice's mean share under content-free inputs (Zhao et al. 2021)
pmi         minus log p(choice | premise), the premise such as "Answer:" (Holtzman et al. 2021)

The highest score is the prediction, the first of equal ones.
"""

import math
from typing import NamedTuple

from fairseq_metro.evaluate.sharing import shared_out

RANKS = SUM, MEAN, BYTE_MEAN, CONTEXTUAL, PMI = "sum", "mean", "byte_mean", "contextual", "pmi"


class Request(NamedTuple):
    """One input with its choices, as texts. priors: inputs that tell the choices' own likelihood."""

    input: str
    choices: tuple[str, ...]
    priors: tuple[str, ...] = ()


def scores_of(predictor, requests, rank_by=SUM, max_tokens=None):
    """Each request's scores by one of RANKS: list of lists of float.

    predictor: what :func:`fairseq_metro.load` gives, or anything with its ``score_choices`` and, for
    mean, ``targets``. Inputs that are the same are scored once. max_tokens: of a padded batch.
    """
    if rank_by in (CONTEXTUAL, PMI):
        return _less_priors(predictor, requests, rank_by, max_tokens)
    sums = _sums(predictor, [(request.input, request.choices) for request in requests], max_tokens)
    if rank_by == SUM:
        return sums
    texts = list(dict.fromkeys(choice for request in requests for choice in request.choices))
    if rank_by == MEAN:
        sizes = dict(zip(texts, map(len, predictor.targets(texts)), strict=True))
    else:
        sizes = {text: len(text.encode()) for text in texts}
    return [
        [score / sizes[choice] for score, choice in zip(row, request.choices, strict=True)]
        for row, request in zip(sums, requests, strict=True)
    ]


def predicted(scores):
    """Index of the highest score, the first of equal ones.

    >>> predicted([-2.0, -1.0, -1.0])
    1
    """
    return scores.index(max(scores))


def _sums(predictor, pairs, max_tokens):
    """log p of every choice of each (input, choices): list of lists of float."""
    distinct = list(dict.fromkeys(pairs))
    options = {} if max_tokens is None else {"max_tokens": max_tokens}

    def score(part):
        if not part:
            return []
        texts, choices = zip(*part, strict=True)
        return predictor.score_choices(list(texts), [list(each) for each in choices], **options)

    scores = shared_out(score, distinct, lambda pair: len(pair[0]))
    scores = dict(zip(distinct, scores, strict=True))
    return [scores[pair] for pair in pairs]


def _less_priors(predictor, requests, rank_by, max_tokens):
    pairs = [
        (text, request.choices) for request in requests for text in (request.input, *request.priors)
    ]
    sums = iter(_sums(predictor, pairs, max_tokens))
    scores = []
    for request in requests:
        own = next(sums)
        priors = [next(sums) for _ in request.priors]
        if rank_by == CONTEXTUAL:
            priors = [_log_shares(row) for row in priors]
        scores.append(
            [score - _log_mean_exp([row[c] for row in priors]) for c, score in enumerate(own)]
        )
    return scores


def _log_shares(row):
    total = _log_mean_exp(row) + math.log(len(row))
    return [score - total for score in row]


def _log_mean_exp(values):
    """log of the mean of exp(values), without overflow."""
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values) / len(values))
