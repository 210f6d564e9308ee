"""Every choice's log-probability, each input encoded once.

Rank classification as T0 and METRO-T0 have it: the score of a choice is the sum of the
log-probabilities of its tokens, ``</s>`` included, not divided by their number; the likeliest choice
is the prediction, the first of several equal ones.
"""

import logging
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from fairseq_metro.common.errors import UserError
from fairseq_metro.scoring.layout import lay_out, logits_of, scoring_batches

logger = logging.getLogger(__name__)

MAX_TOKENS = 16384  # of one batch, on either side
_warned: set[str] = set()


def score_choices(model, inputs, choices, *, pad, decoder_start, max_tokens=MAX_TOKENS):
    """Sums of log p(token) over each choice's tokens: a list of (C_i,) float32 tensors on the CPU.

    model: has ``encoder`` and ``decoder`` as :class:`T5TransformerModel` has; it computes in
    evaluation mode and without gradients, and is left in the mode it was in. inputs: N sources (T_i,)
    int64, as the model was trained with them (``<s>`` and ``</s>``). choices: for each input its C_i
    choices (S_ij,) int64 with ``</s>``. pad, decoder_start: ids. max_tokens: of one padded batch, of
    its sources and of its choices.

    The choices of an input share its states and one row of the decoder's. Vocabulary logits are
    computed at real target positions only, their softmax in float32.
    Raises :class:`UserError` for an input without choices.
    """
    if len(inputs) != len(choices):
        raise ValueError(f"{len(inputs)} inputs, but choices for {len(choices)}")
    distinct, places = [], []
    for i, each in enumerate(choices):
        if not len(each):
            raise UserError(f"input {i} has no choices; give at least one")
        different, place = _without_repeats(i, each)
        distinct.append(different)
        places.append(place)
    scores = [None] * len(inputs)
    with evaluating(model), torch.no_grad():
        for batch, shapes in scoring_batches(model, inputs, distinct, max_tokens):
            layout = lay_out([distinct[i] for i in batch], shapes, pad, decoder_start)
            sums = iter(_sums(model, [inputs[i] for i in batch], layout, pad))
            for i in batch:
                own = torch.stack([next(sums) for _ in distinct[i]])
                scores[i] = own[places[i]]
    return scores


def best(scores):
    """Index of the highest of each example's scores, the first of equal ones: a list of ints.

    >>> best([torch.tensor([-2.0, -1.0, -1.0]), torch.tensor([-3.0])])
    [1, 0]
    """
    # Not argmax: which of several equal numbers it names is left open.
    lists = [row.tolist() for row in scores]
    return [numbers.index(max(numbers)) for numbers in lists]


@contextmanager
def evaluating(model):
    """Evaluation mode within the block; afterwards every module is in its own mode again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _sums(model, sources, layout, pad):
    """log p of each choice of a layout: (choices,) float32 on the CPU."""
    parts = [
        -F.cross_entropy(logits, targets, reduction="none")
        for _, logits, targets in logits_of(model, sources, layout, pad)
    ]
    log_p = torch.cat(parts).cpu().double().split(layout.lengths)
    return torch.nn.utils.rnn.pad_sequence(log_p, batch_first=True).sum(1).float()


def _without_repeats(i, targets):
    """The different choices of input i, and for each of all the place of its like among them.

    Choices that are the same tokens get the same score to the last bit; that is said once in a
    process, since it is nearly always a mistake.
    """
    place = {}
    places = [place.setdefault(tuple(choice.tolist()), len(place)) for choice in targets]
    if len(place) < len(targets) and "identical" not in _warned:
        _warned.add("identical")
        second = next(c for c, place_of in enumerate(places) if place_of in places[:c])
        logger.warning(
            f"input {i}: its choices {places.index(places[second])} and {second} are the same "
            "tokens, so the first of them wins; said once, there may be more"
        )
    return [targets[places.index(place_of)] for place_of in range(len(place))], places
