"""prepare/docstring_tasks: labels balanced, nothing told by place or options, splits apart."""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prepare import default_corpus
from fairseq_metro.prepare.docstring_tasks import main as tasks
from fairseq_metro.prepare.docstring_tasks import rows, texts
from fairseq_metro.prepare.docstring_tasks.texts import TRAIN, VALIDATION, Docstring
from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.mixtures import load_mixture

WORDS = "shape value file list number string object function module class method result".split()
PLACES = [place for places in (*rows.PACKAGES.values(), *rows.AREAS.values()) for place in places]


def made_docstrings(count, seed=0):
    """Docstrings as varied as the corpus's, of made-up sentences."""
    rng = np.random.default_rng(seed)

    def sentence(first):
        words = [WORDS[i] for i in rng.integers(len(WORDS), size=10)]
        words.insert(3, rows.PREPOSITIONS[rng.integers(4)])
        return f"{first} the {' '.join(words)} {int(rng.integers(10**9))} end."

    starts = ["Return", "Creates", "Check", "Set", "Explain"]
    return [
        Docstring(
            f"{PLACES[i % len(PLACES)]}_{i}.py",
            tuple(sentence(starts[(i + j) % 5]) for j in range(1 + i % 4)),
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def docstrings():
    return made_docstrings(1200)


@pytest.mark.parametrize("name", tasks.MADE_BY)
def test_labels_are_balanced_and_rows_are_drawn_by_the_seed(docstrings, name):
    made = tasks.draw_rows(name, docstrings, 1, 300)
    counts = Counter(row["label"] for row in made)
    assert len(set(counts.values())) == 1 and 50 < len(made) <= 300
    choices = made[0].get("options") or find_choices(name)
    assert sorted(counts) == list(range(len(choices)))
    assert made == tasks.draw_rows(name, docstrings, 1, 300)
    assert made != tasks.draw_rows(name, docstrings, 2, 300)


def find_choices(name):
    return find_templates("own").of(f"docstring/{name}")[0].fixed_choices


@pytest.mark.parametrize("name", ["word", "following"])
def test_an_option_and_its_place_say_nothing_about_the_answer(docstrings, name):
    right = defaultdict(Counter)
    for row in tasks.draw_rows(name, docstrings, 1, 10**6):
        for place, option in enumerate(row["options"]):
            right[place, option][place == row["label"]] += 1
    assert len(right) > 20
    assert all(counts[True] == counts[False] for counts in right.values())


@pytest.mark.parametrize(
    ("name", "fields"), [("summary", ("summary", "text")), ("mention", ("sentence", "word"))]
)
def test_one_side_of_a_pair_says_nothing_about_the_answer(docstrings, name, fields):
    made = tasks.draw_rows(name, docstrings, 1, 10**6)
    for field in fields:
        labels = defaultdict(Counter)
        for row in made:
            labels[row[field]][row["label"]] += 1
        assert all(counts[rows.YES] == counts[rows.NO] for counts in labels.values())


def test_answers_are_true(docstrings):
    said = {sentence for one in docstrings for sentence in one.sentences}
    lower = {sentence.lower() for sentence in said}
    after = {pair for one in docstrings for pair in zip(one.sentences, one.sentences[1:])}  # noqa: B905
    firsts = {one.sentences[0] for one in docstrings}
    where = {rows._cut(one.sentences): one.place for one in docstrings}

    def each(name):
        return tasks.draw_rows(name, docstrings, 3, 400)

    for row in each("preposition"):
        filled = row["sentence"].replace("_", rows.PREPOSITIONS[row["label"]], 1)
        assert any(filled in sentence for sentence in said)
    for row in each("word"):
        sentence = row["sentence"].lower()
        filled = [sentence.replace("_", option, 1) in lower for option in row["options"]]
        assert filled.index(True) == row["label"] and sum(filled) == 1
    for name in ("order", "spelling"):
        for row in each(name):
            assert (row["sentence"] in said) == row["label"]
    for row in each("place"):
        assert (row["sentence"] in firsts) == row["label"]
    for row in each("mention"):
        assert (row["word"] in row["sentence"].lower().split()) == row["label"]
    for row in each("following"):
        assert (row["text"], row["options"][row["label"]]) in after
        assert (row["text"], row["options"][1 - row["label"]]) not in after
    for name, topics in (("package", rows.PACKAGES), ("area", rows.AREAS)):
        for row in each(name):
            answer = list(topics)[row["label"]]
            assert where[row["text"]].startswith(topics[answer])
            assert not re.search(answer, row["text"], re.IGNORECASE)


@given(st.lists(st.sampled_from("abcdefg"), max_size=14), st.integers(0, 10**6))
def test_mixed_up_words_are_the_same_in_another_order(words, seed):
    mixed = rows.mixed_up(words, np.random.default_rng(seed))
    if mixed is None:
        assert len(words) < rows.MIDDLE + 2 or len(set(words[1:-1])) == 1
        return
    assert mixed.split() != words and sorted(mixed.split()) == sorted(words)
    assert mixed.split()[0] == words[0] and mixed.split()[-1] == words[-1]


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=9), max_size=12), st.integers(0, 10**6))
def test_misspelt_words_are_three_and_keep_their_letters_and_ends(words, seed):
    wrong = rows.misspelt(words, np.random.default_rng(seed))
    if wrong is None:
        assert sum(len(set(word[1:-1])) > 3 for word in words) < rows.MISSPELT
        return
    changed = [(a, b) for a, b in zip(words, wrong.split(), strict=True) if a != b]
    assert len(changed) == rows.MISSPELT
    for before, after in changed:
        assert sorted(before) == sorted(after)
        assert (before[0], before[-1]) == (after[0], after[-1])


def test_a_file_is_on_one_side_and_no_sentence_on_both():
    found = made_docstrings(400)
    by_split = {
        split: [one for one in found if one.split == split] for split in (TRAIN, VALIDATION)
    }
    assert len(by_split[VALIDATION]) > 30
    shared = by_split[TRAIN][0].sentences[0]
    leaking = Docstring(by_split[VALIDATION][0].place, (shared.upper(), "It says more than that."))
    splits = texts.apart([*found, leaking, found[5]])
    assert leaking not in splits[VALIDATION] and splits[TRAIN].count(found[5]) <= 1
    assert sum(map(len, splits.values())) == len(found)
    trained = {texts.normalised(s) for one in splits[TRAIN] for s in one.sentences}
    assert all(
        texts.normalised(s) not in trained for one in splits[VALIDATION] for s in one.sentences
    )
    assert not {one.place for one in splits[TRAIN]} & {one.place for one in splits[VALIDATION]}


def test_docstrings_of_a_file_have_its_place_and_their_sentences():
    source = (
        '"""Add numbers to one another. X = {1}."""\n\ndef f():\n    """Give back one number."""\n'
    )
    assert texts.docstrings_of(source, "torch/a.py") == [
        Docstring("torch/a.py", ("Add numbers to one another.",))
    ]
    assert texts.sentences(["Give back only one number.", "Give back only one number."]) == (
        "Give back only one number.",
    )


@pytest.fixture
def few_files(monkeypatch):
    monkeypatch.setattr(texts, "collect", lambda workers: texts.apart(made_docstrings(3000)))
    monkeypatch.setattr(default_corpus, "versions", lambda: {"python": "3"})


def test_files_are_written_once_and_again_when_touched(few_files, tmp_path, caplog):
    caplog.set_level("INFO")
    stamp = tasks.write_tasks(tmp_path)
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.jsonl"))
    assert sorted(stamp["files"]) == written
    for name in tasks.MADE_BY:
        there = (tmp_path / f"docstring/{name}/train.jsonl").exists()
        assert there == (name in tasks.TRAINED)
    assert tasks.write_tasks(tmp_path) == stamp and "there already" in caplog.text
    path = tmp_path / "docstring" / "word" / "train.jsonl"
    before = path.read_bytes()
    path.write_bytes(before[:-20])
    tasks.write_tasks(tmp_path)
    assert path.read_bytes() == before
    assert tasks.write_tasks(tmp_path, seed=2)["files"] != stamp["files"]


def test_too_few_docstrings_and_a_bad_folder_are_one_line(few_files, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        tasks.write_tasks(tmp_path / "file")
    monkeypatch.setattr(texts, "collect", lambda workers: texts.apart(made_docstrings(40)))
    with pytest.raises(UserError, match=r"only .* rows of docstring/.*too few docstrings"):
        tasks.write_tasks(tmp_path / "out")
    with pytest.raises(UserError, match="--workers is 0, must be at least 1"):
        tasks.main(["--out", str(tmp_path), "--workers", "0"])


def test_the_mixture_and_the_templates_fit_the_rows(docstrings):
    """Every template gives every row an input, and the right choice as its target."""
    mixture, templates = load_mixture("quickstart"), find_templates("own")
    trained = [one.dataset for one in mixture.sets]
    assert trained == [f"docstring/{name}" for name in tasks.TRAINED]
    assert [one.dataset for one in mixture.valid] == trained
    assert [one.dataset for one in mixture.heldout] == [f"docstring/{n}" for n in tasks.HELD_OUT]
    kinds = {one.cluster for one in mixture.sets}
    held_out = {one.cluster for one in mixture.heldout}
    assert len(kinds) >= 4 and len(held_out - kinds) >= 2
    for name in tasks.MADE_BY:
        found = templates.of(f"docstring/{name}")
        assert len(found) >= 4
        for row in tasks.draw_rows(name, docstrings, 1, 8):
            for template in found:
                pair = template.prompt(row)
                assert pair.choices.index(pair.target) == row["label"]
                assert len(pair.choices) == len(row.get("options", find_choices(name)))
                assert len(set(pair.choices)) == len(pair.choices)


def test_no_answer_needs_a_part_of_python_that_systems_package_apart():
    # Debian's python3 has none of these; a quickstart that needs one stops there.
    apart = ("tkinter", "idlelib", "turtle", "distutils", "ensurepip", "lib2to3", "test/")
    places = [
        place for one in (rows.AREAS, rows.PACKAGES) for each in one.values() for place in each
    ]
    assert "python/unittest/" in places
    assert not [place for place in places if place.removeprefix("python/").startswith(apart)]
