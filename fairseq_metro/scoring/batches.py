"""Batches of unequal examples under one budget of tokens, padding counted."""

FEW_TOKENS = 1024  # so many sources keep a device busy: from here on padding costs more
PADDED = 1.05  # padded source tokens over real ones, above which a batch ends


def token_batches(shapes, max_tokens):
    """Indices of ``shapes`` in batches of neighbours in size, the largest first.

    shapes: one (rows, source length, row length) per example, ints: its targets' rows; 1 and length 0
    where there is but a source. A batch of n examples is padded to n * T source tokens and n * C * S
    target tokens, T, C and S the largest in it; neither exceeds ``max_tokens``, except for an example
    that does so alone. A batch of FEW_TOKENS or more ends where the next, shorter source would make
    more than one in twenty of its source tokens padding. Every index comes once; equal shapes keep
    their order.

    >>> list(token_batches([(2, 5, 1), (2, 9, 1), (2, 8, 1), (1, 90, 1)], 18))
    [[1, 2], [0], [3]]
    """
    order = sorted(range(len(shapes)), key=lambda i: shapes[i], reverse=True)
    batch, largest, real = [], (0, 0, 0), 0
    for i in order:
        grown = tuple(map(max, largest, shapes[i]))
        rows, source, target = grown
        count, real = len(batch) + 1, real + shapes[i][1]
        full = count * max(source, rows * target) > max_tokens
        wasteful = len(batch) * largest[1] >= FEW_TOKENS and count * source > PADDED * real
        if batch and (full or wasteful):
            yield batch
            batch, grown, real = [], shapes[i], shapes[i][1]
        batch.append(i)
        largest = grown
    if batch:
        yield batch
