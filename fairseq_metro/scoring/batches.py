"""Batches of unequal examples under one budget of tokens, padding counted."""


def token_batches(shapes, max_tokens):
    """Indices of ``shapes`` in batches of neighbours in size, the largest first.

    shapes: one (choices, source length, target length) per example, ints; choices 1 and target
    length 0 where there is but a source. A batch of n examples is padded to n * T source tokens and
    n * C * S target tokens, T, C and S the largest in it; neither exceeds ``max_tokens``, except for
    an example that does so alone. Every index comes once; equal shapes keep their order.

    >>> list(token_batches([(2, 5, 1), (2, 9, 1), (2, 8, 1), (1, 90, 1)], 18))
    [[1, 2], [0], [3]]
    """
    order = sorted(range(len(shapes)), key=lambda i: shapes[i], reverse=True)
    batch, largest = [], (0, 0, 0)
    for i in order:
        grown = tuple(map(max, largest, shapes[i]))
        choices, source, target = grown
        if batch and (len(batch) + 1) * max(source, choices * target) > max_tokens:
            yield batch
            batch, grown = [], shapes[i]
        batch.append(i)
        largest = grown
    if batch:
        yield batch
