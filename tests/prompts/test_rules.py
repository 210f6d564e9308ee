"""prompts/rules.py: the cases in which T0, METRO and evaluation leave a row out."""

import pytest

from fairseq_metro.prompts import EVALUATION, METRO, T0, DropReason


@pytest.mark.parametrize(
    ("parts", "choices", "metro", "t0", "evaluation"),
    [
        (["a", "b"], None, "b", "b", "b"),
        (["a", "b"], ["b", "c"], "b", "b", "b"),
        (["a"], None, DropReason.NOT_TWO_PARTS, DropReason.NOT_TWO_PARTS, DropReason.NOT_TWO_PARTS),
        (["a"] * 3, None, *[DropReason.NOT_TWO_PARTS] * 3),
        (["a", ""], None, DropReason.EMPTY_TARGET, "<NO LABEL>", DropReason.EMPTY_TARGET),
        (["", "b"], None, "b", DropReason.EMPTY_INPUT, "b"),
        (["", ""], None, DropReason.EMPTY_TARGET, DropReason.EMPTY_INPUT, DropReason.EMPTY_TARGET),
        (["a", "d"], ["b", "c"], "d", "d", DropReason.NOT_A_CHOICE),
    ],
)
def test_rules_as_published(parts, choices, metro, t0, evaluation):
    for rules, expected in ((METRO, metro), (T0, t0), (EVALUATION, evaluation)):
        judged = rules.judge(parts, choices)
        if isinstance(expected, DropReason):
            assert judged is expected, rules.name
        else:
            assert (judged.input, judged.target) == (parts[0], expected), rules.name
            assert judged.choices == (None if choices is None else tuple(choices))


def test_every_set_of_rules_survives_an_index_error():
    assert all(DropReason.INDEX_ERROR in rules.drops for rules in (METRO, T0, EVALUATION))
