"""The pieces of prompted data: rows' texts, encoding of pairs, selection and dealing of rows."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prepare.prompted import overlap, pairs, reading
from fairseq_metro.prepare.prompted.pairs import PairEncoder, one_line
from fairseq_metro.prepare.prompted.reading import Selection, jobs, splits_for
from fairseq_metro.prepare.prompted.rendering import Renderer, Unit
from fairseq_metro.prepare.prompted.row_text import row_hash
from fairseq_metro.prompts import METRO, Prompted, Template
from fairseq_metro.prompts.mixtures import MixtureSet, MixtureTask
from fairseq_metro.prompts.mixtures.mixture import Mixture
from tests.prepare import samples

ODD = st.one_of(
    st.sampled_from(["", " ", "\t\n", "\u3000", "\x01", "\u200b", "\x1c", "\x85", "\u2028", "|||"]),
    st.sampled_from(["Yes", "No", "a  line\nand more", "caf\u00e9 \u2603", "{{ x }}", "\u2581a"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)


class Rows:
    """A data set in memory."""

    def __init__(self, **splits):
        self.splits, self._rows, self.name = tuple(splits), splits, "rows"

    def rows(self, split):
        return iter(self._rows[split])

    def count(self, split):
        return len(self._rows[split])

    def files(self, split):
        return []


def source(number):
    rows = Rows(train=[{"n": i} for i in range(number)])
    return reading.Source(rows, ("train",))


# Rows' texts


@given(st.lists(ODD, min_size=1, max_size=4), st.randoms())
def test_a_row_says_the_same_in_other_fields_another_order_and_other_case(texts, random):
    words = [f"{text} one two three" for text in texts]
    one = {f"field{i}": text for i, text in enumerate(words)}
    again = [text.upper() if text.isascii() else f" {text} ! " for text in words]
    random.shuffle(again)
    two = {"nested": {"list": again}, "label": 3, "id": "x7"}
    assert row_hash(one) == row_hash(two)


def test_texts_of_fewer_than_three_words_count_only_where_there_are_no_longer_ones():
    long = {"text": "a b c"}
    for short in ({"label": "x y"}, {"answer": "yes"}, {"id": "7"}):
        assert row_hash(long | short) == row_hash(long)
    assert row_hash(long | {"more": "x y z"}) != row_hash(long)


def test_a_row_that_says_something_else_has_another_hash():
    rows = [{"text": " ".join(words)} for words in
            (["a", "b", "c"], ["a", "c", "b"], ["ab", "c", "d"], ["a", "b", "c", "d"])]  # fmt: skip
    rows += [{"one": "a b c", "two": "a b c d"}, {"one": "a b"}, {"one": "a c"}]
    assert len({row_hash(row) for row in rows}) == len(rows)


@given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 20)), st.integers(1, 5))
def test_rows_in_training_are_found_whatever_the_blocks(rows, training, block):
    before, overlap.BLOCK = overlap.BLOCK, block
    try:
        found = overlap.found_in(np.array(rows, np.uint64), np.array(training, np.uint64))
    finally:
        overlap.BLOCK = before
    assert found.tolist() == [row in training for row in rows]


# Encoding


def lines(found):
    ends = np.cumsum(found.sizes)
    return [
        found.tokens[e - s : e].tolist() for e, s in zip(ends, found.sizes, strict=True)
    ]  # fmt: skip


PAIRS = st.lists(
    st.tuples(ODD, st.lists(ODD, min_size=1, max_size=3), st.integers(0, 3)), max_size=5
)


@given(st.lists(st.tuples(PAIRS, st.booleans()), min_size=1, max_size=3), st.integers(1, 4))
@settings(max_examples=60)
def test_any_pairs_become_what_encoding_them_one_by_one_makes(tasks, remembered):
    vocabulary = samples.vocabulary()
    encode = PairEncoder(vocabulary)
    before, pairs.REMEMBERED = pairs.REMEMBERED, remembered
    ids = lambda text: [*vocabulary.encode(text), 2]  # noqa: E731
    chunk = [
        ([
            Prompted(one_line(text), one_line((*choices, "none")[min(gold, len(choices))]),
                     tuple(map(one_line, choices)))
            for text, choices, gold in task
        ], with_choices) for task, with_choices in tasks
    ]  # fmt: skip
    try:
        for _ in range(2):  # the second time with what was remembered
            for found, (task, with_choices) in zip(encode(chunk), chunk, strict=True):
                assert lines(found.source) == [ids(pair.input) for pair in task]
                assert lines(found.target) == [ids(pair.target) for pair in task]
                if with_choices:
                    every = [ids(choice) for pair in task for choice in pair.choices]
                    assert lines(found.choices) == every
                    golds = [[len(pair.choices), pair.gold] for pair in task]
                    assert found.gold.tolist() == golds
                else:
                    assert found.choices is None and found.gold is None
    finally:
        pairs.REMEMBERED = before


@given(st.lists(st.fixed_dictionaries({"text": ODD, "other": ODD, "label": st.integers(0, 1)})))
def test_rows_with_odd_text_become_pairs_or_reasons(rows):
    template = Template("odd", "t", "{{text}} and {{other}} ||| {{ answer_choices[label] }}",
                        "{{text}} ||| {{other}}")  # fmt: skip
    one = MixtureSet("odd", "odd")
    mixture = Mixture("m", "metro", (one,))
    unit = Unit("train", "odd", mixture, (MixtureTask("odd_t", one, template),), METRO, 1)
    [job] = jobs(0, reading.Source(Rows(train=rows), ("train",)), None, 1)
    found, reasons = Renderer([unit], samples.vocabulary()).texts(job)
    expected = []
    for row in rows:
        choices = template.choices_of(row)
        parts = template.apply(row)
        if len(parts) == 2 and parts[1]:
            expected.append(tuple(" ".join(x.split()) for x in (*parts, *choices)))
    assert [(pair.input, pair.target, *pair.choices) for pair in found[0]] == expected
    assert sum(reasons[0].values()) == len(rows) - len(expected)


def test_choices_stand_in_the_templates_order_and_gold_points_at_the_target():
    template = Template("d", "t", "Q ||| {{ answer_choices[label] }}", "entailed ||| no ||| open")
    one = MixtureSet("d", "d")
    unit = Unit("train", "d", Mixture("m", "metro", (one,)), (MixtureTask("d_t", one, template),),
                METRO, 1)  # fmt: skip
    rows = Rows(train=[{"label": label} for label in (2, 0, 1)])
    [job] = jobs(0, reading.Source(rows, ("train",)), None, 1)
    [found] = Renderer([unit], samples.vocabulary())(job).pairs
    assert found.gold.tolist() == [[3, 2], [3, 0], [3, 1]]
    ids = [[*samples.vocabulary().encode(word), 2] for word in ("entailed", "no", "open")]
    assert lines(found.choices) == ids * 3
    assert lines(found.target) == [ids[2], ids[0], ids[1]]


# Which rows


@given(
    st.integers(0, 40),
    st.lists(st.sets(st.integers(0, 39)), min_size=1, max_size=4),
    st.integers(1, 60),
)
def test_every_task_gets_the_rows_it_wants_however_they_are_cut(number, wanted, per_job):
    wanted = [np.array(sorted(r for r in rows if r < number), np.int64) for rows in wanted]
    before, reading.PROMPTS_PER_JOB = reading.PROMPTS_PER_JOB, per_job
    try:
        made = list(jobs(3, source(number), wanted, len(wanted)))
    finally:
        reading.PROMPTS_PER_JOB = before
    for task, rows in enumerate(wanted):
        got = []
        for job in made:
            positions = range(len(job.rows)) if job.positions[task] is None else job.positions[task]
            assert [job.rows[p]["n"] for p in positions] == [job.indices[p] for p in positions]
            got += [job.indices[p] for p in positions]
        assert got == rows.tolist()
    assert made and all(job.unit == 3 for job in made)


@given(st.integers(1, 300), st.integers(1, 50), st.integers(0, 9))
def test_drawn_rows_are_a_sample_fixed_by_the_seed(number, most, seed):
    one = MixtureSet("set", "set", leave_every=2)
    mixture = Mixture("m", "metro", (one,))
    tasks = [MixtureTask("a", one, index=0, of=2), MixtureTask("b", one, index=1, of=2)]
    count, (first, second) = Selection(most, seed).selected_rows(
        mixture, tasks, "train", source(number)
    )
    assert first is second and count == len(first) == min(most, number // 2)
    assert (np.diff(first) > 0).all() and (first % 2 == 1).all()
    again = Selection(most, seed).selected_rows(mixture, tasks, "train", source(number))[1][0]
    assert again.tolist() == first.tolist()


def test_under_flans_rule_each_row_goes_to_one_template_also_of_a_sample():
    one = MixtureSet("set", "set")
    mixture = Mixture("m", "flan", (one,))
    tasks = [MixtureTask(name, one, index=i, of=3) for i, name in enumerate("abc")]
    count, wanted = Selection(20, 1).selected_rows(mixture, tasks, "train", source(100))
    assert count == 20 and [len(rows) for rows in wanted] == [6, 6, 6]
    assert len(np.unique(np.concatenate(wanted))) == 18
    together = np.sort(np.concatenate(wanted))
    assert np.concatenate([rows[:1] for rows in wanted]).tolist() == together[:3].tolist()


def test_words_for_splits():
    rows = Rows(train=[], train_extra=[], validation=[], test=[])
    assert splits_for("train", rows, "x") == ("train", "train_extra")
    assert splits_for("validation", rows, "x") == ("validation",)
    assert splits_for("test", rows, "x") == ("test",)
    with pytest.raises(UserError, match=r"no split 'tst'.*nearest: test"):
        splits_for("tst", rows, "x")
    with pytest.raises(UserError, match="no split 'validation'"):
        splits_for("validation", Rows(train=[], test=[]), "x")


def test_white_space_of_every_kind_is_one_space():
    assert one_line(f"a{string.whitespace}\u3000\u2028b ") == "a b"
