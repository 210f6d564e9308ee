"""Layout of the tokens of many choices in one decoder pass, and their scores.

The choices of an input stand behind one another in one row, as packed examples do: none sees another,
each begins at position 0, all see the input's states. So a long choice pads no short one.
"""

from typing import NamedTuple

import torch

from fairseq_metro.modules.heads import select_rows
from fairseq_metro.scoring.batches import token_batches

ROWS = 512  # of logits at a time: 65 MB of float32 for 32 thousand tokens


class Layout(NamedTuple):
    """Choices of B inputs in rows. prev (B * n, W) int64: the decoder's input; segments (B * n, W):
    the choices from 1 in each row, 0 at padding; index (N,): where the real tokens stand in the
    flattened rows; targets (N,): what they are to predict; lengths: tokens of each choice in turn."""

    prev: torch.Tensor
    segments: torch.Tensor
    index: torch.Tensor
    targets: torch.Tensor
    lengths: list


def target_shape(targets, longest):
    """(rows, row length) of an input's targets (S_c,): one row of all where the decoder takes one so
    long, otherwise a row each.

    >>> target_shape([torch.zeros(3), torch.zeros(5)], 8)
    (1, 8)
    >>> target_shape([torch.zeros(4), torch.zeros(5)], 8)
    (2, 5)
    """
    total = sum(map(len, targets))
    if total <= longest:
        return 1, total
    return len(targets), max(map(len, targets))


def lay_out(several, shapes, pad, decoder_start):
    """:class:`Layout` of several inputs' targets. several: for each input its (S_c,) int64 tensors;
    shapes: of each, as :func:`target_shape` has it, all in one row or none."""
    rows, width = (max(sizes) for sizes in zip(*shapes, strict=True))
    lengths, starts, segments = [], [], []
    for first, targets in zip(range(0, rows * len(several), rows), several, strict=True):
        column = 0
        for c, target in enumerate(targets):
            lengths.append(len(target))
            starts.append((first + c) * width if rows > 1 else first * width + column)
            segments.append(c + 1)
            column += len(target)
    sizes = torch.tensor(lengths)
    begins = sizes.cumsum(0) - sizes
    tokens = torch.cat([target for targets in several for target in targets])
    index = torch.arange(len(tokens)) + (torch.tensor(starts) - begins).repeat_interleave(sizes)
    shifted = tokens.roll(1)
    shifted[begins] = decoder_start
    prev = torch.full((rows * len(several), width), pad)
    places = torch.zeros_like(prev)
    prev.view(-1)[index] = shifted
    places.view(-1)[index] = torch.tensor(segments).repeat_interleave(sizes)
    return Layout(prev, places, index, tokens, lengths)


def scoring_batches(model, inputs, targets, max_tokens):
    """Yield (indices, target shapes) of inputs whose targets are scored together."""
    longest = model.decoder.max_positions()
    shapes = [target_shape(each, longest) for each in targets]
    for apart in (False, True):  # targets in rows of their own go apart from those in one row
        group = [i for i, (rows, _) in enumerate(shapes) if (rows > 1) == apart]
        sizes = [(shapes[i][0], len(inputs[i]), shapes[i][1]) for i in group]
        for batch in token_batches(sizes, max_tokens):
            yield [group[k] for k in batch], [shapes[group[k]] for k in batch]


def logits_of(model, sources, layout, pad):
    """Yield (slice of the layout's N, float32 logits (n, V), targets (n,)) on the model's device.

    Sources (T_i,) are encoded once each; logits are of real positions alone, ROWS at a time.
    """
    device = next(model.parameters()).device
    lengths = torch.tensor([len(source) for source in sources])
    src_tokens = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True, padding_value=pad)
    encoder_out = model.encoder(src_tokens.to(device), src_lengths=lengths.to(device))
    features = model.decoder.extract_features(
        layout.prev.to(device), encoder_out, target_segments=layout.segments.to(device)
    )
    features = select_rows(features, layout.index.to(device))
    targets = layout.targets.to(device)
    for first in range(0, len(targets), ROWS):
        part = slice(first, first + ROWS)
        yield part, model.decoder.output_layer(features[part]).float(), targets[part]
