"""Every template of the real promptsource, rendered by its own ``apply`` and by ours.

Rows are made from the schemas of the mixtures' and T0 Eval's data sets, elsewhere from what a
template does with its variables. Texts hold the separator, long fields, markup, other scripts.

promptsource compiles a template for each row, and Jinja evaluates a random choice among constants
then already, also in a branch that is not taken. So where a template draws, both sides are told
which item to take; that real draws agree as well is asserted for the mixtures' templates.
"""

import copy
import random
import warnings
from collections import Counter

import pytest

from fairseq_metro.errors import UserError
from fairseq_metro.prompts import find_templates
from tests.prompts.made_rows import SCHEMAS, row_from_uses, row_of_schema, with_separators

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pkg_resources, which it imports, is deprecated
    import promptsource.templates as reference

TRIES = 60  # rows tried for a pair with two non-empty parts
TEMPLATES = find_templates("promptsource")
# Templates that no made row pleases: they look for a word that their own text must contain.
MOST_SKIPPED = 60


def reference_templates(dataset):
    """promptsource's own collection of a data set's templates."""
    path = dataset.split("/")
    name = 2 if path[0] in reference.INCLUDED_USERS else 1
    return reference.DatasetTemplates("/".join(path[:name]), *path[name:])


def made_row(template, rng, attempt):
    if template.dataset in SCHEMAS:
        row = row_of_schema(SCHEMAS[template.dataset], rng)
    else:
        flip = 0.0 if attempt < 10 else 0.3
        row = row_from_uses(template.jinja, template.answer_choices, rng, flip)
    return with_separators(row, rng) if rng.random() < 0.4 else row


def outcome(function, row, *rng):
    """What a rendering gives, or the exception it ends with."""
    try:
        return function(copy.deepcopy(row), *rng)
    except Exception as error:
        return error


def same(want, got):
    if isinstance(want, IndexError):
        return isinstance(got, IndexError)
    return isinstance(got, UserError) if isinstance(want, Exception) else want == got


class Pick(random.Random):
    """Takes the item of one number, counted around, instead of a random one."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def choice(self, items):
        return items[self.number % len(items)] if len(items) else [][0]


def rendered_alike(template, theirs, row, number):
    """What promptsource gives for the row, having asserted that ours is the same."""
    pick = Pick(number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random, "choice", pick.choice)
        want = outcome(theirs.apply, row)
    got = outcome(template.apply, row, pick)
    assert same(want, got), (template, row, want, got)
    if template.random and template.dataset in SCHEMAS:
        random.seed(number)
        ours = random.Random(number)
        assert same(outcome(theirs.apply, row), outcome(template.apply, row, ours)), template
        assert ours.getstate() == random.getstate(), template
    return want


def compare(template, theirs, wanted):
    """(rows with two non-empty parts, rows rendered, why the last other row is not among them)."""
    rng, good, rendered, reason = random.Random(template.task_name), 0, 0, ""
    for attempt in range(TRIES):
        row = made_row(template, rng, attempt)
        want = rendered_alike(template, theirs, row, attempt)
        if isinstance(want, Exception):
            reason = f"{type(want).__name__}: {want}"
            continue
        rendered += 1
        if len(want) == 2 and all(want):
            good += 1
        else:
            reason = f"{len(want)} parts, {sum(not part for part in want)} empty"
        if good == wanted or (attempt > 25 and rendered > 5 and template.dataset not in SCHEMAS):
            break
    return good, rendered, reason


def compare_all(wanted):
    """Compare all templates; the list of those without a good row, with reasons, is printed.

    wanted: how many good rows of a template outside and inside the mixtures.
    """
    counts, skipped = Counter(), []
    for dataset in TEMPLATES.dataset_names():
        theirs = reference_templates(dataset)
        assert [t.name for t in TEMPLATES.of(dataset)] == theirs.all_template_names
        for template in TEMPLATES.of(dataset):
            good, rendered, reason = compare(
                template, theirs[template.name], wanted[dataset in SCHEMAS]
            )
            mixture = "mixtures" if dataset in SCHEMAS else "others"
            counts[mixture] += 1
            counts["equal"] += rendered > 0
            counts["rows"] += rendered
            if not rendered:
                skipped.append(f"not rendered: {dataset} {template.name!r}: {reason}")
            elif not good:
                skipped.append(f"no full pair: {dataset} {template.name!r}: {reason}")
            assert good or dataset not in SCHEMAS, skipped[-1]
    print("\n".join([f"{dict(counts)}, without a full pair {len(skipped)}:", *skipped]))
    return counts, skipped


def test_every_template_gives_what_promptsource_gives():
    counts, skipped = compare_all(wanted=(1, 2))
    assert counts["mixtures"] == 516 and counts["mixtures"] + counts["others"] == 2085
    assert counts["equal"] >= 2000
    assert len(skipped) <= MOST_SKIPPED


@pytest.mark.slow
def test_every_template_gives_what_promptsource_gives_for_many_rows():
    counts, _ = compare_all(wanted=(15, 25))
    assert counts["rows"] >= 30_000
