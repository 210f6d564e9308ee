"""Parts of the intermediate data: sentences, orders, growing files, sides, draws, the filter."""

import json
import math
import tempfile
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import Reading
from fairseq_metro.prepare.intermediate import reading, sides
from fairseq_metro.prepare.intermediate.growing import GrowingFiles
from fairseq_metro.prepare.intermediate.permutation import Permutation
from fairseq_metro.prepare.intermediate.reading import (
    DOCUMENTS,
    documents_of,
    jobs,
    paragraphs_of,
)
from fairseq_metro.prepare.intermediate.sampling import CHUNK, Sampler
from fairseq_metro.prepare.intermediate.sides import SIDES, Side, held_out, write_sides
from fairseq_metro.prepare.intermediate.splitting import sentences_of
from fairseq_metro.prepare.intermediate.store import Rules, draw_of, sentences_in
from fairseq_metro.prepare.intermediate.teacher_filter import batches, passing, teacher_hash
from fairseq_metro.smash.groups import load_group
from fairseq_metro.vocabulary.characters import Characters
from tests.prepare import intermediate_samples as made

PAIR, SINGLE = load_group("sentence_pair"), load_group("single_sentence")

# Sentences


@pytest.mark.parametrize(
    "paragraph, sentences",
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. No met J. R. Smith. They left.", ["Dr. No met J. R. Smith.", "They left."]),
        ("It rose 3.5 percent. 20 fell.", ["It rose 3.5 percent.", "20 fell."]),
        ('"Go!" he said. "Now."', ['"Go!" he said.', '"Now."']),
        ("(See p. 3.) Then he and I. We went.", ["(See p. 3.)", "Then he and I.", "We went."]),
        ("Well... maybe. Wait... What?", ["Well... maybe.", "Wait...", "What?"]),
        ("The U.S. Army, e.g. Here it stays.", ["The U.S. Army, e.g. Here it stays."]),
        ("“Why?” Élan came. études.", ["“Why?”", "Élan came. études."]),
        ("一。二！三", ["一。", "二！", "三"]),  # noqa: RUF001
        (" \t ", []),
    ],
)  # fmt: skip
def test_paragraphs_are_cut_at_sentence_ends(paragraph, sentences):
    assert sentences_of(paragraph) == sentences


@given(st.text("aB1 .!?…\"')(\n\u2019\u3002", max_size=80) | st.text(max_size=80))
def test_cutting_loses_nothing_but_white_space(paragraph):
    found = sentences_of(paragraph)
    assert "".join("".join(found).split()) == "".join(paragraph.split())
    assert all(one == one.strip() and one for one in found)


def test_long_runs_of_marks_take_no_time():
    assert len(sentences_of("." * 200_000 + " a" + "! " * 50_000)) == 1


def test_short_sentences_leave_their_numbers_to_their_neighbours():
    rules = Rules(None, "paragraph", least_tokens=3, least_sentences=2, seed=1)
    tokenizer = SimpleNamespace(encode=str.split)
    text = "A first long sentence. Short one. Another quite long one.\nThe last long one here."
    found = sentences_in((5, ["Too short.", text]), rules, tokenizer)
    assert found.places.tolist() == [0, 2, 3]
    assert found.rows["number"].tolist() == [6] and found.bounds.tolist() == [3]
    ends = [0, *found.ends.tolist()]
    texts = [found.text[a:b].decode() for a, b in pairwise(ends)]
    assert texts[1:] == ["Another quite long one.", "The last long one here."]
    assert found.counts == {
        "documents": 1, "documents_left_out": 1, "sentences": 3, "sentences_left_out": 2,
        "characters": 0, "unknown_characters": 0,
    }  # fmt: skip


@pytest.mark.parametrize("least, kept", [(5, 1), (6, 1), (7, 0)])
def test_length_is_counted_in_tokens(least, kept):
    rules = Rules(None, "sentence", least_tokens=least, least_sentences=1, seed=1)
    halves = SimpleNamespace(
        encode=lambda text: [w[i : i + 2] for w in text.split() for i in (0, 2)],
        characters=lambda texts: Characters(0, 0),
    )
    assert len(sentences_in((0, ["abcd efgh ijkl"]), rules, halves).places) == kept


def test_half_a_surrogate_pair_is_text_like_any_other():
    rules = Rules(None, "paragraph", least_tokens=1, least_sentences=1, seed=1)
    found = sentences_in((0, ["bad \ud83d here"]), rules, SimpleNamespace(encode=str.split))
    assert found.text.decode() == "bad ? here"


# Documents


def test_what_ends_a_document(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(" = A = \n\na b\n = = Part = = \nc\n\n = B = \nd\n", "utf-8")
    of = lambda documents: list(documents_of(str(path), documents))  # noqa: E731
    assert of("blank-line") == [" = A = ", "a b\n = = Part = = \nc", " = B = \nd"]
    assert len(of("file")) == 1 and len(of("line")) == 6
    assert [text.split() for text in of("heading")] == [["a", "b", "c"], ["d"]]


def test_rows_are_documents_whatever_plain_text_is(tmp_path):
    path = tmp_path / "wiki_00"
    path.write_text("".join(json.dumps({"text": f"a {i}\n\n = b = "}) + "\n" for i in range(2)))
    for documents in DOCUMENTS:
        assert list(documents_of(str(path), documents)) == [f"a {i}\n\n = b = " for i in range(2)]


def test_wrapped_lines_are_joined_up_to_a_blank_line():
    assert paragraphs_of("one\ntwo.\n \nthree", "wrapped") == ["one\ntwo.", "three"]
    assert sentences_of(paragraphs_of("It goes\non here. So")[0] + "x") == ["It goesx"]
    assert sentences_of("It goes\non here. So") == ["It goes on here.", "So"]


@given(st.lists(st.text("ab", min_size=1, max_size=9), min_size=1, max_size=9), st.integers(1, 20))
def test_jobs_number_all_documents_in_order(texts, characters):
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(reading, "JOB_CHARACTERS", characters),
    ):
        half = len(texts) // 2
        paths = [str(Path(folder) / name) for name in ("a.txt", "b.txt")]
        for path, part in zip(paths, (texts[:half], texts[half:]), strict=True):
            Path(path).write_text("\n\n".join(part))
        found = list(jobs(paths, "blank-line", Reading()))
    assert [text for _, part in found for text in part] == texts
    assert [first for first, _ in found] == [
        sum(len(part) for _, part in found[:n]) for n in range(len(found))
    ]


# Orders


@given(st.integers(1, 3000), st.integers(0, 5), st.integers(0, 3))
def test_an_order_has_everything_once(n, seed, which):
    found = Permutation(n, seed, (which, 0))(np.arange(n))
    assert sorted(found.tolist()) == list(range(n))


def test_orders_differ_by_seed_and_side_and_are_read_from_any_place():
    a, b, c = (Permutation(500, s, (w, 0))(np.arange(500)) for s, w in ((1, 0), (2, 0), (1, 1)))
    assert (a != b).any() and (a != c).any()
    assert Permutation(500, 1, (0, 0))(np.array([400, 3])).tolist() == [a[400], a[3]]


def test_orders_look_drawn():
    """Neighbours are as far apart as in a random order: a third of n on average."""
    n = 20_000
    found = Permutation(n, 1, (0, 0))(np.arange(n))
    assert np.abs(np.diff(found)).mean() == pytest.approx(n / 3, rel=0.03)
    assert abs(np.corrcoef(found, np.arange(n))[0, 1]) < 0.03
    fixed = (found == np.arange(n)).sum()
    assert fixed < 8  # one on average


# Growing files


def test_what_came_after_the_last_whole_step_is_cut_off(tmp_path):
    first = GrowingFiles(tmp_path, ("a", "b"), {"x": 1})
    first.write("a", b"one")
    first.step({"n": 1})
    first.write("a", b"half a step")
    first.agree()  # as after an error
    first.write("b", b"unknown")
    first.close()
    again = GrowingFiles(tmp_path, ("a", "b"), {"x": 1})
    assert (again.steps, again.facts, again.finished) == (1, {"n": 1}, False)
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"one", b"")
    again.write("a", b"two")
    again.step({"n": 2})
    again.agree(finished=True)
    again.close()
    assert (tmp_path / "a").read_bytes() == b"onetwo"
    assert GrowingFiles(tmp_path, ("a", "b"), {"x": 1}).finished


def test_other_settings_start_anew_and_a_lost_file_is_one_line(tmp_path):
    for made_with in ({"x": 1}, {"x": 2}):
        growing = GrowingFiles(tmp_path, ("a",), made_with)
        assert growing.steps == 0
        growing.write("a", b"some")
        growing.step({})
        growing.agree()
        growing.close()
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(UserError, match="shorter than its progress says"):
        GrowingFiles(tmp_path, ("a",), {"x": 2})


# Sides


@given(st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=300, unique=True))
def test_the_share_held_out_is_exact(draws):
    draws = np.array(draws, np.uint64)
    for share in (0.01, 0.1, 0.5):
        assert held_out(draws, share).sum() == max(2, round(share * len(draws)))
    assert not held_out(draws, 0.0).any()


def test_equal_documents_are_held_out_together():
    assert draw_of("a", 1) == draw_of("a", 1) != draw_of("a", 2)
    draws = np.array([draw_of(str(n // 2), 1) for n in range(100)], np.uint64)
    found = held_out(draws, 0.1)
    assert (found[::2] == found[1::2]).all() and 10 <= found.sum() <= 11


def places(least=1):
    """Documents as the numbers of their kept sentences."""
    one = st.sets(st.integers(0, 9), min_size=least, max_size=8).map(sorted)
    return st.lists(one, min_size=4, max_size=12)


@given(places(), st.integers(1, 7))
def test_neighbours_are_known_in_blocks_of_any_size(documents, block):
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(sides, "BLOCK", block):
        store = made.store(Path(folder), documents)
        counts = write_sides(store, 0.3, PAIR)
        train, valid = (Side(store, side) for side in SIDES)
        where = [(d, p) for d, one in enumerate(documents) for p in one]
        has = [any((d, p + s) in where for s in (1, -1)) for d, p in where]
        anchors = sorted([*train.anchors.tolist(), *valid.anchors.tolist()])
        assert anchors == [row for row, one in enumerate(has) if one]
        assert sorted([*train.rows, *valid.rows]) == list(range(len(where)))
        on = [{where[row][0] for row in side.rows} for side in (train, valid)]
        assert not on[0] & on[1] and list(map(len, on)) == list(counts.values())


# Draws


@settings(max_examples=60)
@given(places(least=4), st.sampled_from(["both", "next"]), st.integers(0, 3))
def test_labels_are_what_documents_and_numbers_say(documents, direction, seed):
    group = replace(PAIR, direction=direction)
    with tempfile.TemporaryDirectory() as folder:
        store = made.store(Path(folder), documents)
        write_sides(store, 0.3, group)
        for name in SIDES:
            side = Side(store, name)
            sampler = Sampler(store, side, group, seed)
            drawn = np.concatenate([sampler.draw(n) for n in range(sampler.chunks())])
            meta = sampler.meta(drawn)
            here = {store.documents["number"][store.document_of(row)] for row in side.rows}
            kept = {(10 * d, p) for d, one in enumerate(documents) for p in one}
            for label, d1, s1, d2, s2 in meta.tolist():
                assert {(d1, s1), (d2, s2)} <= kept and {d1, d2} <= here
                gap = abs(s1 - s2)
                assert label == (0 if d1 != d2 else 1 if gap >= 2 else 2) and (d1 != d2 or gap)
                assert direction == "both" or label != 2 or s2 == s1 + 1
            firsts = Counter((label, row) for label, row, _ in drawn.tolist())
            assert set(firsts.values()) <= {1}
            counts = Counter(drawn[: side.possible(group), 0].tolist())
            assert set(counts.values()) <= {side.possible(group) // 3}


def test_partners_are_each_as_likely(tmp_path):
    """Over many seeds: every allowed partner of one sentence comes up, none much more often."""
    store = made.store(tmp_path, [[0, 1, 2, 4, 5, 7], [0, 1, 3, 4], [1, 2, 3, 4, 5]])
    write_sides(store, 0.0, PAIR)
    side, row, seen = Side(store, "train"), 2, {0: Counter(), 1: Counter(), 2: Counter()}
    for seed in range(900):
        for label, first, second in Sampler(store, side, PAIR, seed).draw(0).tolist():
            if first == row:
                seen[label][second] += 1
    wanted = {0: set(range(6, 15)), 1: {0, 3, 4, 5}, 2: {1}}
    for label, partners in wanted.items():
        assert set(seen[label]) == partners
        expected = 900 / len(partners)
        assert all(abs(n - expected) < 5 * math.sqrt(expected) for n in seen[label].values())


def test_single_sentences_come_once_each(tmp_path):
    store = made.store(tmp_path, [[p] for p in range(CHUNK + 50)])
    write_sides(store, 0.0, SINGLE)
    sampler = Sampler(store, Side(store, "train"), SINGLE, 1)
    drawn = np.concatenate([sampler.draw(n) for n in range(sampler.chunks())])
    assert sorted(drawn[:, 1].tolist()) == list(range(CHUNK + 50))
    meta = sampler.meta(drawn)
    assert (meta[:, [0, 3, 4]] == -1).all() and (meta[:, 1] == 10 * drawn[:, 1]).all()
    assert sampler.texts(drawn[:1]) == [[store.text(int(drawn[0, 1]))]]


# The filter


def test_an_example_stays_if_its_likeliest_word_is_above_its_threshold():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.51, 0.4, 0.09], [0.1, 0.6, 0.3]])
    likeliest, keep = passing(probabilities, np.array([0.5, 0.7, 0.0]))
    assert (likeliest.tolist(), keep.tolist()) == ([0, 0, 1], [False, True, False])
    assert passing(np.zeros((0, 3)), np.zeros(3))[1].shape == (0,)


@given(st.lists(st.integers(1, 9000), max_size=60))
def test_batches_hold_every_prompt_once_and_stay_small(sizes):
    sizes = np.array(sizes, dtype=np.int64)
    found = list(batches(sizes))
    assert sorted(i for batch in found for i in batch) == list(range(len(sizes)))
    assert all(len(b) == 1 or len(b) * sizes[b].max() <= 16384 for b in found)


def test_a_teachers_hash_is_of_what_is_loaded(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    whole = teacher_hash(tmp_path)
    (tmp_path / "README.md").write_text("other")
    assert teacher_hash(tmp_path) == whole
    (tmp_path / "config.json").write_text("{ }")
    assert teacher_hash(tmp_path) != whole
    (tmp_path / "checkpoint_last.pt").write_bytes(b"run")
    last = teacher_hash(tmp_path)
    (tmp_path / "checkpoint_1_10.pt").write_bytes(b"earlier")
    assert teacher_hash(tmp_path) == last == teacher_hash(tmp_path / "checkpoint_last.pt")
    with pytest.raises(UserError, match="no model there"):
        teacher_hash(tmp_path / "nowhere")
