"""Task groups as data: the package's two as the paper has them, and what a user's own may say."""

import pytest
import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.groups import group_names, load_group
from fairseq_metro.smash.templates import PromptTemplate

MINE = {
    "version": 1, "name": "mine", "sampler": "sentences",
    "template": "*cls**sent_0*_This_is*mask*.*sep+*", "max_length": 32,
}  # fmt: skip
PAIRS = MINE | {"sampler": "pairs", "template": "*cls**sent_0**mask*,*+sentl_1**sep+*"}


def write(folder, values, **changes):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}))
    return path


def test_the_papers_groups():
    pair, single = load_group("sentence_pair"), load_group("single_sentence")
    assert pair.verbalizer == {0: "No", 1: "Maybe", 2: "Yes"}
    assert (pair.max_length, single.max_length) == (128, 64)
    assert pair.template == "*cls**sent-_0*?*mask*,*+sentl_1**sep+*"
    assert single.template == "*cls**sent_0*_It_was*mask*.*sep+*"
    assert (pair.least_tokens, pair.least_sentences, pair.direction) == (5, 4, "both")
    assert pair.filter is None
    assert single.filter.words == ("terrible", "bad", "okay", "good", "great")
    assert single.filter.above == (0.5,) * 5


@pytest.mark.parametrize("name", group_names())
def test_the_printed_sizes_contradict_the_printed_schedule_tenfold(name):
    group = load_group(name)
    recipe = group.recipe
    assert recipe["size"] == 10 * recipe["printed_size"]
    assert group.epochs(recipe["size"]) == pytest.approx(recipe["printed_epochs"], rel=0.02)
    assert group.epochs(recipe["printed_size"]) == 10 * group.epochs(recipe["size"])


@pytest.mark.parametrize("name", group_names())
def test_templates_take_what_the_sampler_draws(name):
    group = load_group(name)
    assert PromptTemplate.parse(group.template).sentences == (2 if 1 in group.labels else 1)


def test_a_users_group(tmp_path):
    group = load_group(
        write(tmp_path, MINE, filter={"words": ["a", "b"], "above": {"a": 0.9, "b": 0}})
    )
    assert (group.name, group.labels, group.epochs(10)) == ("mine", (-1,), None)
    assert group.filter.above == (0.9, 0.0)
    assert load_group(write(tmp_path, PAIRS)).least_sentences == 4
    assert load_group(write(tmp_path, PAIRS, recipe={"steps": 5, "batch": 4})).epochs(10) == 2


def test_unknown_names_are_answered_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="nearest: sentence_pair"):
        load_group("sentence_pairs")
    with pytest.raises(UserError, match="nearest: max_length"):
        load_group(write(tmp_path, MINE, max_lenght=3))
    with pytest.raises(UserError, match=r"gone\.yaml: no such file"):
        load_group(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    "values, changes, message",
    [
        (MINE, {"sampler": "triples"}, "sampler is 'triples', must be one of pairs, sentences"),
        (MINE, {"version": 2}, "version is 2"),
        (MINE, {"max_length": "64"}, "max_length is '64', must be a whole number"),
        (MINE, {"truncation": "middle"}, "must be one of budget, tail, head"),
        (MINE, {"template": "*cls**sent_0*"}, "mask"),
        (MINE, {"template": "*mask*,*+sent-_0*"}, "unknown variable"),
        (MINE, {"sampler": "pairs"}, "takes 1 sentences, but sampler pairs draws 2"),
        (MINE, {"direction": "next"}, "direction says nothing of single sentences"),
        (MINE, {"verbalizer": {0: "No"}}, "verbalizer says nothing of single sentences"),
        (MINE, {"filter": {"words": ["a", "b"]}}, "filter: no 'above'"),
        (MINE, {"filter": {"words": ["a", "a"], "above": 0.5}}, "different words"),
        (MINE, {"filter": {"words": ["a", "b"], "above": 1.5}}, "must be a number from 0"),
        (MINE, {"filter": {"words": ["a", "b"], "above": {"a": 0.5}}}, "differ in b"),
        (MINE, {"recipe": {"steps": 0}}, "recipe: steps is 0"),
        (PAIRS, {"least_sentences": 3}, "least_sentences is 3, must be at least 4"),
        (PAIRS, {"verbalizer": {0: "No", 1: "Yes"}}, "must name 0, 1, 2"),
        (PAIRS, {"verbalizer": {0: "No", 1: "Yes", 2: "Yes"}}, "different words"),
        (PAIRS, {"verbalizer": {0: "No", 1: False, 2: "Yes"}}, "verbalizer is"),
    ],
)
def test_what_a_group_may_not_say_is_one_line(tmp_path, values, changes, message):
    path = write(tmp_path, values, **changes)
    with pytest.raises(UserError, match=message) as caught:
        load_group(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", ["version", "name", "sampler", "template", "max_length"])
def test_what_every_group_must_say(tmp_path, key):
    values = {name: value for name, value in MINE.items() if name != key}
    with pytest.raises(UserError, match=f"no '{key}'"):
        load_group(write(tmp_path, values))
