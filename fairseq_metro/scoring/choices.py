"""Every choice's log-probability, each input encoded once.

Rank classification as T0 and METRO-T0 have it: the score of a choice is the sum of the
log-probabilities of its tokens, ``</s>`` included, not divided by their number; the likeliest choice
is the prediction, the first of several equal ones.
"""

import logging
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from fairseq_metro.errors import UserError
from fairseq_metro.modules.heads import select_rows
from fairseq_metro.scoring.batches import token_batches

logger = logging.getLogger(__name__)

MAX_TOKENS = 16384  # of one batch, on either side
ROWS = 1024  # of logits at a time: 130 MB of float32 for 32 thousand tokens
_warned = set()


def score_choices(model, inputs, choices, *, pad, decoder_start, max_tokens=MAX_TOKENS):
    """Sums of log p(token) over each choice's tokens: a list of (C_i,) float32 tensors on the CPU.

    model: has ``encoder`` and ``decoder`` as :class:`T5TransformerModel` has; it computes in
    evaluation mode and without gradients, and is left in the mode it was in. inputs: N sources (T_i,)
    int64, as the model was trained with them (``<s>`` and ``</s>``). choices: for each input its C_i
    choices (S_ij,) int64 with ``</s>``. pad, decoder_start: ids. max_tokens: of one padded batch, of
    its sources and of its choices.

    The choices of an input share its states: the decoder gets them as several targets of one input.
    Vocabulary logits are computed at real target positions only, their softmax in float32.
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
    shapes = [
        (len(targets), len(source), max(map(len, targets)))
        for source, targets in zip(inputs, distinct, strict=True)
    ]
    scores = [None] * len(inputs)
    with evaluating(model), torch.no_grad():
        for batch in token_batches(shapes, max_tokens):
            sources, targets = [inputs[i] for i in batch], [distinct[i] for i in batch]
            summed = _score_batch(model, sources, targets, pad, decoder_start).cpu()
            for i, row in zip(batch, summed, strict=True):
                scores[i] = row[places[i]]
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


def _score_batch(model, sources, targets, pad, decoder_start):
    """(B, C) float32 sums; of an input with fewer choices the rest of its row is zero."""
    device = next(model.parameters()).device
    lengths = torch.tensor([len(source) for source in sources])
    src_tokens = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True, padding_value=pad)
    tokens, real = _rectangle(targets, pad)
    prev = torch.full_like(tokens, decoder_start)
    prev[:, 1:] = tokens[:, :-1]
    index = real.flatten().nonzero().squeeze(1).to(device)  # found on the CPU: no wait for a GPU
    tokens, prev = tokens.to(device), prev.to(device)

    encoder_out = model.encoder(src_tokens.to(device), src_lengths=lengths.to(device))
    features = model.decoder.extract_features(prev, encoder_out)  # (B * C, S, width)
    log_p = torch.zeros(tokens.numel(), device=device)
    for part in index.split(ROWS):
        logits = model.decoder.output_layer(select_rows(features, part)).float()
        log_p[part] = -F.cross_entropy(logits, tokens.flatten()[part], reduction="none")
    return log_p.view_as(tokens).sum(-1).view(len(sources), -1)


def _rectangle(targets, pad):
    """Ragged lists of choices as tokens (B * C, S) int64 and which of them are real, bool."""
    most = max(map(len, targets))
    longest = max(len(choice) for each in targets for choice in each)
    tokens = torch.full((len(targets) * most, longest), pad)
    real = torch.zeros_like(tokens, dtype=torch.bool)
    for b, each in enumerate(targets):
        for c, choice in enumerate(each):
            tokens[b * most + c, : len(choice)] = choice
            real[b * most + c, : len(choice)] = True
    return tokens, real


def _without_repeats(i, targets):
    """The different choices of input i, and for each of all the place of its like among them.

    Choices that are the same tokens get the same score to the last bit; that is said once in a
    process, since it is nearly always a mistake.
    """
    place = {}
    places = [place.setdefault(tuple(choice.tolist()), len(place)) for choice in targets]
    if len(place) < len(targets) and "identical" not in _warned:
        _warned.add("identical")
        second = next(c for c, at in enumerate(places) if at in places[:c])
        logger.warning(
            f"input {i}: its choices {places.index(places[second])} and {second} are the same "
            "tokens, so the first of them wins; said once, there may be more"
        )
    return [targets[places.index(at)] for at in range(len(place))], places
