"""Truncation of long prompts that keeps the mask and the words of the template.

``budget``  sentences share what the prompt leaves: the longest loses its end first
``tail``    LM-BFF's: ids after the first ``max_length`` go
``head``    LM-BFF's: ids before the last ``max_length`` go
"""

from fairseq_metro.common.errors import UserError

TRUNCATIONS = BUDGET, TAIL, HEAD = "budget", "tail", "head"


def shared_out(lengths, budget):
    """Shorten the longest length (the last of equal ones) one at a time until all fit.

    lengths: list of int; budget: int, at least 0. Returns a list of int whose sum is at most the
    budget.

    >>> shared_out([50, 9], 30), shared_out([20, 20], 31), shared_out([3, 4], 30)
    ([21, 9], [16, 15], [3, 4])
    """
    if sum(lengths) <= budget:
        return list(lengths)
    left = budget
    for number, length in enumerate(sorted(lengths)):
        level, spare = divmod(left, len(lengths) - number)
        if length > level:
            break
        left -= length
    kept = []
    for length in lengths:
        more = int(length > level and spare > 0)
        spare -= more
        kept.append(min(length, level + more))
    return kept


def cut(parts, fixed, max_length, truncation):
    """Parts of a prompt, cut to ``max_length`` ids in all: list of lists, and whether any was cut.

    parts: list of lists of int; fixed: list of bool, parts that ``budget`` never cuts. Raises
    :class:`UserError` where these alone are longer than max_length.
    """
    excess = sum(map(len, parts)) - max_length
    if excess <= 0:
        return parts, False
    if truncation == BUDGET:
        return _within_budget(parts, fixed, max_length), True
    if truncation == TAIL:
        return _without_end(parts, excess), True
    if truncation == HEAD:
        mirrored = [part[::-1] for part in reversed(parts)]
        return [part[::-1] for part in reversed(_without_end(mirrored, excess))], True
    raise UserError(f"truncation {truncation!r}, must be one of {', '.join(TRUNCATIONS)}")


def _within_budget(parts, fixed, max_length):
    prompt = sum(len(part) for part, keep in zip(parts, fixed, strict=True) if keep)
    if prompt > max_length:
        raise UserError(
            f"max_length {max_length} is less than the {prompt} tokens of the prompt itself; "
            "give a larger one"
        )
    lengths = [len(part) for part, keep in zip(parts, fixed, strict=True) if not keep]
    kept = iter(shared_out(lengths, max_length - prompt))
    return [part if keep else part[: next(kept)] for part, keep in zip(parts, fixed, strict=True)]


def _without_end(parts, excess):
    parts = list(parts)
    for place in reversed(range(len(parts))):
        keep = max(0, len(parts[place]) - excess)
        excess -= len(parts[place]) - keep
        parts[place] = parts[place][:keep]
    return parts
