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

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import find_templates
from tests.prompts.made_rows import MIXTURES, SCHEMAS, row_from_uses, row_of_schema, with_separators

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pkg_resources, which it imports, is deprecated
    import promptsource.templates as reference

TEMPLATES = find_templates("promptsource")


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
    if template.random and template.dataset in MIXTURES:
        random.seed(number)
        ours = random.Random(number)
        assert same(outcome(theirs.apply, row), outcome(template.apply, row, ours)), template
        assert ours.getstate() == random.getstate(), template
    return want


def assert_same_description(template, theirs):
    metadata, fixed = theirs.metadata, theirs.get_fixed_answer_choices_list()
    assert template.fixed_choices == (None if fixed is None else tuple(fixed)), template
    assert (template.id, template.jinja) == (theirs.id, theirs.jinja)
    assert template.original_task == bool(metadata.original_task)
    assert template.choices_in_prompt == metadata.choices_in_prompt
    assert template.metrics == metadata.metrics


def assert_same_uncut_and_choices(template, theirs, row, number):
    pick = Pick(number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random, "choice", pick.choice)
        want = outcome(lambda row: theirs.apply(row, truncate=False), row)
        choices = outcome(theirs.get_answer_choices_list, row)
    assert same(want, outcome(lambda row: template.apply(row, pick, truncate=False), row))
    assert same(choices, outcome(template.choices_of, row, pick))


def compare(template, theirs, wanted, tries):
    """(rows with two non-empty parts, rows rendered, why the last other row is not among them)."""
    rng, good, rendered, reason = random.Random(template.task_name), 0, 0, ""
    assert_same_description(template, theirs)
    for attempt in range(tries):
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
        if good == wanted:
            if template.dataset in MIXTURES:
                assert_same_uncut_and_choices(template, theirs, row, attempt)
            break
    return good, rendered, reason


def compare_all(wanted, tries):
    """Compare all templates; the list of those without a good row, with reasons, is printed.

    A good row gives two non-empty parts. wanted, tries: how many good rows of a template, among how
    many at most, as pairs for data sets outside and inside the mixtures.
    """
    counts, skipped = Counter(), []
    for dataset in TEMPLATES.dataset_names():
        theirs, inside = reference_templates(dataset), dataset in MIXTURES
        assert [t.name for t in TEMPLATES.of(dataset)] == theirs.all_template_names
        for template in TEMPLATES.of(dataset):
            good, rendered, reason = compare(
                template, theirs[template.name], wanted[inside], tries[inside]
            )
            counts["in mixtures" if inside else "others"] += 1
            counts.update(rows=rendered, equal=rendered > 0, full_pairs=good > 0)
            if not good:
                what = "no full pair" if rendered else "not rendered"
                skipped.append(f"{what}: {dataset} {template.name!r}: {reason}")
            assert good or not inside, skipped[-1]
    print("\n".join([f"{dict(counts)}, without a full pair {len(skipped)}:", *skipped]))
    assert counts["in mixtures"] == 516 and counts["in mixtures"] + counts["others"] == 2085
    assert len(skipped) == 2085 - counts["full_pairs"]
    return counts


def test_every_template_gives_what_promptsource_gives():
    counts = compare_all(wanted=(1, 2), tries=(6, 60))
    assert counts["equal"] >= 2000 and counts["full_pairs"] >= 1900


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_template_gives_what_promptsource_gives_for_many_rows():
    counts = compare_all(wanted=(10, 20), tries=(60, 200))
    assert counts["equal"] >= 2050 and counts["full_pairs"] >= 1950 and counts["rows"] >= 25_000
