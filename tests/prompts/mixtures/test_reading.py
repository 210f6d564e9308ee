"""Users' own mixtures: what they may say, and one line for everything else."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.mixtures import load_mixture
from fairseq_metro.prompts.mixtures.keys import MIXTURE_KEYS, SET_KEYS, checked
from tests.prompts.mixtures.made_up import write


def test_a_mixture_of_ones_own(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text('{"inputs": "a", "targets": "b"}\n')
    path = write(
        tmp_path,
        """
rule: t0
cap: 100
seed: 7
examples: 50
options: true
exemplars: [1, 3]
mode: dataset-name
exclude_tasks: trec_x
sets:
  - glue/cola
  - {dataset: trec, templates: original, exclude: [x], cluster: topic, cap: 9, first: 100}
  - {dataset: imdb, templates: [Sentiment], rows: 25000, counts: [11, 10, 11]}
  - {dataset: my/set, jsonl: [one.jsonl, two.jsonl]}
  - {jsonl: two.jsonl}
valid: [{dataset: trec, split: test, keep_every: 2}, glue/cola]
heldout: [super_glue/rte]
""",
    )
    mixture = load_mixture(path)
    assert (mixture.name, mixture.rule, mixture.cap, mixture.seed) == ("mine", "t0", 100, 7)
    assert (mixture.examples, mixture.options, mixture.exemplars) == (50, True, (1, 3))
    assert (mixture.mode, mixture.exclude_tasks) == ("dataset-name", ("trec_x",))
    cola, trec, imdb, mine, two = mixture.sets
    assert (cola.dataset, cola.templates, cola.split) == ("glue/cola", "all", "train")
    assert (trec.templates, trec.exclude, trec.cluster) == ("original", ("x",), "topic")
    assert (trec.cap, trec.first) == (9, 100)
    assert (imdb.templates, imdb.rows, imdb.counts) == (("Sentiment",), 25000, (11, 10, 11))
    assert (mine.dataset, mine.jsonl) == (
        "my/set",
        (tmp_path / "one.jsonl", tmp_path / "two.jsonl"),
    )
    assert (two.dataset, two.jsonl) == ("two", (tmp_path / "two.jsonl",))
    assert [(one.dataset, one.split) for one in (*mixture.valid, *mixture.heldout)] == [
        ("trec", "test"),
        ("glue/cola", "validation"),
        ("super_glue/rte", "validation"),
    ]
    assert load_mixture(str(path)) == mixture


def test_included_mixtures_come_first(tmp_path):
    write(tmp_path, "sets: [x]\nrule: flan\nmax_rate: 5\nvalid: [y]\n", "base.yaml")
    mixture = load_mixture(write(tmp_path, "include: [t0, base.yaml]\nsets: [z]\ncap: 3\n"))
    t0 = load_mixture("t0")
    assert [one.dataset for one in mixture.sets] == [*(one.dataset for one in t0.sets), "x", "z"]
    assert [one.dataset for one in mixture.valid] == ["y"]
    assert (mixture.rule, mixture.cap, mixture.max_rate) == ("flan", 3, 5)
    assert mixture.exclude_tasks == t0.exclude_tasks


def test_another_rule_brings_its_own_numbers(tmp_path):
    mixture = load_mixture(write(tmp_path, "include: flan\nrule: t0\n"))
    assert (mixture.rule, mixture.cap, mixture.max_rate) == ("t0", None, None)
    assert load_mixture(write(tmp_path, "include: flan\n")).max_rate == 3000


def test_a_held_out_cluster_in_the_file_leaves_training(tmp_path):
    held_out = load_mixture(write(tmp_path, "include: [flan]\nhold_out: [nli, sentiment]\n"))
    assert held_out.sets == load_mixture("flan").without_clusters("nli", "sentiment").sets
    outer = load_mixture(write(tmp_path, "include: [mine.yaml]\n", "outer.yaml"))
    assert outer.sets == held_out.sets and outer.is_unseen("imdb")


@pytest.mark.parametrize(
    "text, message",
    [
        ("sets: [a]\nruel: t0\n", "unknown key 'ruel' .nearest: rule"),
        (
            "sets: [{dataset: a, template: all}]\n",
            "sets: a: unknown key 'template' .nearest: templ",
        ),
        ("sets: [a]\nrule: metr\n", "rule is 'metr', must be one of metro, t0, flan, temperature"),
        ("sets: [a]\nrule: [t0]\n", "rule is ..t0.., must be one of metro, t0, flan, temperature"),
        ("sets: [a]\ncap: 0\n", "cap is 0, must be a whole number from 1"),
        ("sets: [a]\ncap: true\n", "cap is True, must be a whole number"),
        ("sets: [a]\nseed: 1.5\n", "seed is 1.5, must be a whole number"),
        ("sets: [a]\nexemplars: 17\n", "exemplars is 17, must be a number from 0 to 16"),
        ("sets: [a]\nexemplars: [3, 2]\n", "exemplars is"),
        (
            "sets: [a]\nmode: naturel\n",
            "mode is 'naturel', must be one of natural, none, dataset-n",
        ),
        ("sets: [a]\noptions: 1\n", "options is 1, must be true or false"),
        (
            "sets: [a]\nrule: temperature\ntemperature: 0\n",
            "temperature is 0, must be a number abov",
        ),
        (
            "sets: [a]\nrule: temperature\ntemperature: .nan\n",
            "temperature is nan, must be a number",
        ),
        ("sets: [a]\ntemperature: 2\n", "temperature says nothing under rule metro"),
        (
            "sets: [a]\ntemplates: [x]\n",
            "templates is ..x.., must be one of all, original, first-o",
        ),
        ("sets: [a]\nwithout_templates: skip\n", "must be one of error, leave out"),
        ("sets: [a]\nmax_rate: 5\n", "max_rate says nothing under rule metro"),
        ("sets: [a]\nexamples: 5\n", "examples says nothing under rule metro"),
        ("sets: [a]\nrelated: [[a]]\n", "related is"),
        ("sets: a\n", "sets is 'a', must be a list"),
        ("sets: [3]\n", "3 is not a mapping"),
        ("sets: [{rows: 3}]\n", "no 'dataset' in"),
        (
            "sets: [{dataset: a, templates: 4}]\n",
            "templates is 4, must be all, original, first-original, or a list",
        ),
        ("sets: [{dataset: a, counts: [1, 2]}]\n", "counts is .1, 2., must be three numbers"),
        ("sets: [{dataset: a, rows: -1}]\n", "rows is -1"),
        ("sets: [{dataset: a, keep_every: 2, leave_every: 2}]\n", "leave_every beside keep_every"),
        ("sets: [{dataset: a, jsonl: no.jsonl}]\n", "no file .*no.jsonl"),
        ("sets: [{dataset: a, jsonl: mine.yaml, templates: all}]\n", "templates beside jsonl"),
        ("sets: [a, a]\n", "sets: a is there twice"),
        ("include: [t0]\nsets: [imdb]\n", "sets: imdb is there twice"),
        ("include: [t00]\n", "no mixture 't00' .nearest: t0"),
        ("include: [nowhere.yaml]\n", "nowhere.yaml: no such file"),
        ("include: [mine.yaml]\n", "mine.yaml: includes itself"),
        ("sets: []\n", "no data sets"),
        ("include: [flan]\nhold_out: [nil]\n", "no cluster 'nil' .nearest: nli"),
        ("sets: [", "not valid YAML"),
    ],
)
def test_what_a_file_may_not_say_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        load_mixture(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_version_and_name_are_asked_for(tmp_path):
    path = tmp_path / "bare.yaml"
    for text, key in (("name: a\nsets: [b]", "version"), ("version: 1\nsets: [b]", "name")):
        path.write_text(text)
        with pytest.raises(UserError, match=f"bare.yaml: no '{key}'"):
            load_mixture(path)
    path.write_text("version: 2\nname: a\nsets: [b]")
    with pytest.raises(UserError, match="version is 2, must be one of 1"):
        load_mixture(path)
    for text in ("", "- a", "a"):
        path.write_text(text)
        with pytest.raises(UserError, match="not a mapping"):
            load_mixture(path)


def test_unknown_mixtures_are_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no mixture 'T0p' .nearest: t0p"):
        load_mixture("T0p")
    with pytest.raises(UserError, match=r"nowhere.yaml: no such file"):
        load_mixture("nowhere.yaml")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("keys", [SET_KEYS, MIXTURE_KEYS], ids=["set", "mixture"])
@given(data=st.data())
def test_any_value_is_read_or_refused(keys, data):
    values = data.draw(st.dictionaries(st.sampled_from(sorted(keys)), ANYTHING, max_size=3))
    try:
        assert set(checked("here", values, keys)) == set(values)
    except UserError as error:
        assert str(error).startswith("here: ")


def test_a_loaded_mixture_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_mixture("t0").cap = 3
