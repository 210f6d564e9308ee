"""prompts/collection.py: sources of templates, which of them wins, names that are not there."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError, shown_names
from fairseq_metro.prompts import collection, find_templates

FILE = """
dataset: {dataset}
{subset}templates:
  5c1: !Template
    answer_choices: a ||| b
    id: 5c1
    jinja: "{word} {{{{text}}}} ||| {{{{answer_choices[label]}}}}"
    metadata: !TemplateMetadata {{choices_in_prompt: null, metrics: [Accuracy], original_task: true}}
    name: one
    reference: ''
"""


def write(path, dataset, word="word", subset=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILE.format(dataset=dataset, word=word, subset=subset), "utf-8")
    return path


@pytest.fixture
def tree(tmp_path):
    write(tmp_path / "tree" / "plain" / "templates.yaml", "plain")
    write(tmp_path / "tree" / "big" / "part-1" / "templates.yaml", "big", subset="subset: part-1\n")
    write(tmp_path / "tree" / "craffel" / "open" / "templates.yaml", "craffel/open")
    write(tmp_path / "tree" / ".hidden" / "x" / "templates.yaml", "x")
    return tmp_path / "tree"


def test_folder_names_are_data_sets(tree, tmp_path):
    assert find_templates(tree).dataset_names() == ["big/part-1", "craffel/open", "plain"]
    assert find_templates(tree).get("big/part-1", "one").task_name == "big_part_1_one"
    (tmp_path / "source" / "promptsource").mkdir(parents=True)
    tree.rename(tmp_path / "source" / "promptsource" / "templates")
    assert "plain" in find_templates(tmp_path / "source").dataset_names()


def test_one_file_says_its_data_set(tree):
    for path in (tree / "big" / "part-1" / "templates.yaml", tree / "big" / "part-1"):
        templates = find_templates(path)
        assert templates.dataset_names() == ["big/part-1"]
        (template,) = templates.of("big/part-1")
        assert template.apply({"text": "t", "label": 1}) == ["word t", "b"]
        assert (template.original_task, template.choices_in_prompt) == (True, None)
        assert (template.metrics, template.id) == (["Accuracy"], "5c1")


def test_later_sources_win_a_whole_data_set(tree, tmp_path):
    mine = write(tmp_path / "mine.yaml", "plain", word="mine")
    templates = find_templates([tree, mine, "own"])
    assert templates.get("plain", "one").jinja.startswith("mine ")
    assert templates.get("big/part-1", "one").jinja.startswith("word ")
    assert find_templates([mine, tree]).get("plain", "one").jinja.startswith("word ")
    assert {"cr", "mr", "subj", "plain"} <= set(templates.dataset_names())


def test_unknown_names_are_answered_with_the_nearest(tree):
    templates = find_templates(tree)
    with pytest.raises(
        UserError, match=r"no templates of data set 'big/part1' \(nearest: big/part-1\)"
    ):
        templates.of("big/part1")
    with pytest.raises(UserError, match=r"no template 'onee' of plain \(nearest: one\)"):
        templates.get("plain", "onee")
    with pytest.raises(UserError, match=r"'qqqq' \(3 others are known\)"):
        templates.of("qqqq")


def test_sources_that_are_not_there_are_said(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no templates.yaml in this folder or below"):
        find_templates(tmp_path / "empty")
    with pytest.raises(UserError, match=r"nowhere: No such file"):
        find_templates(tmp_path / "nowhere")
    monkeypatch.setattr(collection, "promptsource_folder", lambda: None)
    with pytest.raises(UserError, match=r"promptsource is not installed: pip install --no-deps"):
        find_templates("promptsource")
    templates = find_templates()
    assert "subj" in templates.dataset_names() and "imdb" not in templates.dataset_names()
    with pytest.raises(UserError, match=r"'imdb'.*promptsource is not installed: pip install"):
        templates.of("imdb")


def test_installed_promptsource_is_found_without_importing_it(tmp_path):
    ask = (
        "import sys; from fairseq_metro.prompts import find_templates; t = find_templates(); "
        "print(len(t.of('super_glue/rte')), len(t.of('craffel/openai_lambada')), len(t.of('cr')), "
        "[m for m in sys.modules if m in ('promptsource', 'pandas', 'pkg_resources', 'torch')])"
    )
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.split(maxsplit=3) == ["10", "5", "6", "[]\n"]


@pytest.mark.parametrize("dataset", ["cr", "mr", "subj"])
def test_templates_of_our_own_tell_the_labels_apart(dataset):
    templates = find_templates("own").of(dataset)
    assert len(templates) == 6
    rows = [{"text": "Some text .", "label": label} for label in (0, 1)]
    pairs = [[template.prompt(row) for row in rows] for template in templates]
    assert all([pair.gold for pair in both] == [0, 1] for both in pairs)
    assert all("Some text ." in pair.input for both in pairs for pair in both)
    assert len({both[0].input for both in pairs}) == 6
    assert all(both[0].input == both[1].input for both in pairs)
    for template, (first, _) in zip(templates, pairs, strict=True):
        shown = all(
            choice.removeprefix("a ").lower() in template.jinja.lower() for choice in first.choices
        )
        assert shown == template.choices_in_prompt, template.name


def test_choices_of_our_own_templates_stand_in_the_order_of_the_labels():
    """What a subjective sentence, a negative review (label 0) is called, in all 18 templates."""
    of_label_0 = {
        "subj": {"subjective", "an opinion", "a review", "No", "Yes", "critic"},
        "cr": {"negative", "No", "a complaint", "bad", "disappointed"},
        "mr": {"negative", "Negative", "No", "down", "terrible"},
    }
    for dataset, words in of_label_0.items():
        templates = find_templates("own").of(dataset)
        assert {template.fixed_choices[0] for template in templates} == words
        assert not {template.fixed_choices[1] for template in templates} & (words - {"No", "Yes"})
    subj = {t.name: t.fixed_choices for t in find_templates("own").of("subj")}
    assert subj["tells what happens"] == ("No", "Yes")
    assert subj["writer's feelings"] == ("Yes", "No")


@given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=6))
def test_the_nearest_names_are_others_and_known(name, known):
    words = collection.nearest(name, [*known, name])
    others = sorted({other for other in known if other != name})
    if words.startswith("nearest: "):
        assert any(shown_names([other]) in words for other in others)
        assert shown_names([name]) not in words.removeprefix("nearest: ").split(", ")
    else:
        number = "no other is" if not others else f"{len(others)} other"
        assert words.startswith(number)


def test_names_are_near_in_any_case_of_letters():
    assert collection.nearest("SST2", ["mr", "sst2"]) == "nearest: sst2"
    assert collection.nearest("text", ["text ", "text"]) == "nearest: 'text '"
