"""What becomes of a rendered template: a prompted pair, or a reason to leave the row out.

T0's rules are those of its seqio preprocessing, METRO's those of its data script; they differ in
two cases, and neither of them looks at the choices.
"""

from enum import StrEnum
from typing import NamedTuple

NO_LABEL = "<NO LABEL>"


class DropReason(StrEnum):
    """Why a row gives no prompted pair under a template."""

    NOT_TWO_PARTS = "not two parts"  # the template is silent on this row, or its data split it
    EMPTY_INPUT = "empty input"
    EMPTY_TARGET = "empty target"
    INDEX_ERROR = "index error"  # a random choice among nothing
    NOT_A_CHOICE = "target not among choices"


class NoValue(NamedTuple):
    """A row that lacks a value which its template prints: a bad row, whatever the rules say."""

    value: str


class Prompted(NamedTuple):
    """One example as text; choices: what a model may answer, None where anything goes."""

    input: str
    target: str
    choices: tuple[str, ...] | None = None

    @property
    def gold(self):
        """Index of the target among the choices, -1 where it is not one of them.

        >>> Prompted("Is it?", "No", ("Yes", "No")).gold
        1
        """
        return self.choices.index(self.target) if self.target in (self.choices or ()) else -1


class DropRules(NamedTuple):
    """Which reasons leave a row out; no_label: what an empty target that stays in becomes."""

    name: str
    drops: frozenset[DropReason]
    no_label: str = ""

    def judge(self, parts, choices=None):
        """A :class:`Prompted`, or the first :class:`DropReason` that applies.

        parts: what the template rendered, list of str; choices: list of str or None.

        >>> METRO.judge(["", "No"])
        Prompted(input='', target='No', choices=None)
        >>> T0.judge(["", "No"]), T0.judge(["Is it?", ""]).target
        (<DropReason.EMPTY_INPUT: 'empty input'>, '<NO LABEL>')
        """
        if len(parts) != 2:
            return DropReason.NOT_TWO_PARTS
        source, target = parts
        if not target:
            if DropReason.EMPTY_TARGET in self.drops:
                return DropReason.EMPTY_TARGET
            target = self.no_label
        if not source and DropReason.EMPTY_INPUT in self.drops:
            return DropReason.EMPTY_INPUT
        if choices is not None:
            if target not in choices and DropReason.NOT_A_CHOICE in self.drops:
                return DropReason.NOT_A_CHOICE
            choices = tuple(choices)
        return Prompted(source, target, choices)


# Nothing to render is no pair anywhere. An index error ends T0's own preprocessing, so the published
# data have none: dropping it there changes nothing.
_ALWAYS = {DropReason.NOT_TWO_PARTS, DropReason.INDEX_ERROR}
METRO = DropRules("metro", frozenset(_ALWAYS | {DropReason.EMPTY_TARGET}))
T0 = DropRules("t0", frozenset(_ALWAYS | {DropReason.EMPTY_INPUT}), NO_LABEL)
# Rank classification: METRO's evaluation ends with an error where a target is empty or no choice.
EVALUATION = DropRules(
    "evaluation", METRO.drops | {DropReason.EMPTY_TARGET, DropReason.NOT_A_CHOICE}
)
