"""fairseq-metro import-flan: made-up files in the form of FLAN's, and what becomes of them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.prompted_files import open_split
from fairseq_metro.evaluate.examples import Form, examples_of
from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.prepare.prompted.main import main as prompts
from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.flan.command import main
from fairseq_metro.prompts.flan.conversion import _known_sets
from fairseq_metro.prompts.flan.patterns import read_patterns
from fairseq_metro.prompts.mixtures import load_mixture
from fairseq_metro.prompts.task_data import open_dataset
from tests.prepare import samples
from tests.prompts.flan_features import CASES, patterns_of, source_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of templates that the command makes of a file with every set in CASES."""
    place = tmp_path_factory.mktemp("flan")
    (place / "templates.py").write_text(source_of({name: patterns_of(name) for name in CASES}))
    assert main([str(place / "templates.py"), "--out", str(place / "out")]) == 0
    return place / "out"


def filled(text, features):
    """A text of FLAN's with a row's features in it, as FLAN's code fills it in."""
    options = features.get("options")
    features = {key: value for key, value in features.items() if key != "options"}
    if options:
        for name in ("options_", "options_str"):
            features[name] = "OPTIONS:\n- " + "\n- ".join(options)
    return re.sub(r"\{(\w+)\}", lambda match: str(features.get(match[1], match[0])), text).strip()


@pytest.mark.parametrize("name", CASES)
def test_a_template_says_what_flans_own_says_of_the_row(folder, name):
    pairs = patterns_of(name)
    for dataset, row, features in CASES[name]:
        templates = find_templates(str(folder)).of(dataset)
        assert [template.name for template in templates] == [f"flan {i:02}" for i in range(1, 11)]
        for template, (source, target) in zip(templates, pairs, strict=True):
            prompted = template.prompt(row)
            assert prompted.input == filled(source, features), template
            assert prompted.target == filled(target, features), template
            if "{options_" in source:
                assert prompted.choices == tuple(map(str.strip, features["options"]))
                assert prompted.gold >= 0
            else:
                assert prompted.choices is None and template.answer_choices is None
            assert template.original_task == (target == pairs[0][1])
            assert template.complete


def test_every_known_set_is_tried():
    own = {"quac", "opinion_abstracts_idebate", "opinion_abstracts_rotten_tomatoes",
           "wiki_lingua_english_en", "fix_punct"}  # fmt: skip
    assert set(_known_sets()) - own <= set(CASES)
    assert all("fields" not in _known_sets()[name] for name in own)


def test_the_data_sets_are_those_of_the_mixture():
    """All of FLAN's mixture but one configuration of OpenBookQA, whose rows have no fact."""
    ours = {one.dataset for one in load_mixture("flan").sets}
    known = {dataset for entry in _known_sets().values() for dataset in entry["datasets"]}
    assert ours - known == {"openbookqa/main"}
    assert known - ours == {"openbookqa/additional", "squad_v2"}


def test_sets_and_counts_are_printed(folder, tmp_path, capsys):
    sets = {name: patterns_of(name) for name in ("rte", "trec", "wsc273")}
    sets["coqa"] = patterns_of("coqa")[:3]
    sets["ag_news_subset"] = [
        *patterns_of("ag_news_subset")[:8],
        ("{title}?", "{text}"),
        ("{text}", "{title}"),
    ]
    path = tmp_path / "templates.py"
    path.write_text(source_of(sets))
    assert main([str(path), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^  rte +10$", printed, re.M) and re.search(r"^  coqa +3$", printed, re.M)
    assert f"{path}: 5 sets, 4 of 10, 1 of 3 templates" in printed
    assert "ag_news: 2 of 10 templates left out; rows have no 'title' (2)" in printed
    assert (
        "wsc273: rows need FLAN's own fields, a set that no mixture of this package has" in printed
    )
    found = find_templates(str(tmp_path / "out"))
    assert found.dataset_names() == ["ag_news", "coqa", "super_glue/rte", "trec", "wsc273"]
    assert len(found.of("ag_news")) == 8


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_any_text_of_the_file_is_read_as_python_would(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "templates.py"
    sets = {"mine": [(text, "{answer}"), ("a" + text, text)] * 3}
    path.write_bytes(source_of(sets).encode())
    expected = {"mine": [(source.replace("\r\n", "\n").replace("\r", "\n"), target)
                         for source, target in sets["mine"]]}  # fmt: skip
    read = read_patterns(path)
    for place, pair in enumerate(read["mine"]):  # a raw line end in triple quotes is Python's "\n"
        assert pair in (sets["mine"][place], expected["mine"][place])


HOSTILE = [
    ("PATTERNS = {'a': [('x', 'y')", "not Python"),
    ("patterns = {}", "no PATTERNS = {...} in it"),
    ("PATTERNS = 3", "line 1: PATTERNS is no dictionary of sets"),
    ("PATTERNS = {}", "PATTERNS is no dictionary of sets"),
    ("PATTERNS = {**other}", "the name of a set is no text"),
    ("PATTERNS = {'a': open('x').read()}", "line 1: set 'a' is no list of templates"),
    ("PATTERNS = {'a': []}", "set 'a' is no list of templates"),
    ("PATTERNS = {'a': [('x',)]}", "template 1 of set 'a' is no pair"),
    ("PATTERNS = {'a': [\n('x', 'y'),\n(f'{x}', 'y')]}", "line 3: template 2 of set 'a' is no text"),
    ("PATTERNS = {'a': [('x' * 9 ** 9, 'y')]}", "template 1 of set 'a' is no text"),
    ("PATTERNS = {'a': [(b'x', 'y')]}", "template 1 of set 'a' is no text"),
    ("PATTERNS = {'a': [('x', __import__('os').remove('me'))]}", "template 1 of set 'a' is no text"),
    ("PATTERNS = {'a': [('x', 'y')], 'a': [('x', 'y')]}", "the set 'a' stands twice"),
    ("PATTERNS = {'../a': [('x', 'y')]}", "has a name that no folder can have"),
    ("PATTERNS = {'/etc': [('x', 'y')]}", "has a name that no folder can have"),
    ("PATTERNS = {'': [('x', 'y')]}", "has a name that no folder can have"),
    ("PATTERNS = {'a\\nb': [('x', 'y')]}", "has a name that no folder can have"),
    ("PATTERNS = {'a': [('{x} ||| y', 'y')]}", "template 1 of set 'a' holds '|||'"),
    ("PATTERNS = {'ag_news_subset': [('{title}', 'y')]}", "no template that our rows have the fields"),
    ("PATTERNS = {'a': [('\\x07', 'y')]}", "control character"),
    ("PATTERNS = " + "[" * 5000, "not Python"),
    ("x = 1\0", "not Python"),
    ("# -*- coding: nonsense -*-\n", "not Python"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_file_of_another_form_is_one_line_and_nothing_is_written(tmp_path, text, says):
    path, me = tmp_path / "templates.py", tmp_path / "me"
    me.touch()
    path.write_bytes(text.encode())
    with pytest.raises(UserError) as error:
        main([str(path), "--out", str(tmp_path / "out")])
        pytest.skip(
            "as deep as this Python reads"
        )  # a long sum of texts may be read, or be too deep
    assert says in str(error.value) and "\n" not in str(error.value)
    assert "templates.py" in str(error.value)
    assert me.exists() and not (tmp_path / "out").exists()


def test_a_sum_of_many_texts_is_read_or_too_deep(tmp_path):
    path = tmp_path / "templates.py"
    path.write_text("PATTERNS = {'a': [(" + "+".join(["'x'"] * 20_000) + ", 'y')]}")
    try:
        assert read_patterns(path) == {"a": [("x" * 20_000, "y")]}
    except UserError as error:
        assert "nested too deep" in str(error) or "recursion" in str(error)
    path.write_text("PATTERNS = {'a': [(" + "+".join(["'x'"] * 50) + ", 'y')]}")
    assert read_patterns(path) == {"a": [("x" * 50, "y")]}


def test_other_places_are_one_line(tmp_path, folder):
    for place, says in ((tmp_path, "is a folder"), (tmp_path / "none.py", "No such file")):
        with pytest.raises(UserError, match=says):
            main([str(place), "--out", str(tmp_path / "out")])
    path = tmp_path / "bytes.py"
    path.write_bytes(b"PATTERNS = {'a': [('\xff', 'y')]}")
    with pytest.raises(UserError, match="not Python"):
        main([str(path), "--out", str(tmp_path / "out")])
    with pytest.raises(UserError, match=re.escape(str(folder))):  # is there already
        main([str(folder.parent / "templates.py"), "--out", str(folder)])


# What the templates do in data and in evaluation


def write_rows(folder, dataset, rows, split="train"):
    path = folder / dataset / f"{split}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_fields_are_whole_and_options_stand_once(folder, tmp_path):
    """promptsource cuts a field at 2,048 characters, and our mixture adds options: not here."""
    long = "word " * 900
    rows = [{"premise": long, "hypothesis": "It is.", "label": "entailment"}] * 40
    write_rows(tmp_path / "tasks", "super_glue/rte", rows)
    mixture = tmp_path / "mixture.yaml"
    mixture.write_text("version: 1\nname: f\nrule: flan\noptions: true\nsets: [super_glue/rte]\n")
    words = ["--mixture", mixture, "--tasks", tmp_path / "tasks", "--templates", folder, "--split",
             "train", "--vocab", samples.vocabulary().path, "--workers", 1]  # fmt: skip
    assert prompts([str(word) for word in (*words, "--dest", tmp_path / "data")]) == 0
    tasks = {task.name: task for task in open_split(tmp_path / "data", "train").tasks}
    assert len(tasks) == 10
    encode = samples.vocabulary().encode
    options, least = encode("OPTIONS:"), len(encode(long.strip()))
    for name, times in (("flan_01", 1), ("flan_10", 0)):
        line = tasks[f"super_glue_rte_{name}"].source.tokens.tolist()
        starts = range(len(line) - len(options))
        rows = tasks[f"super_glue_rte_{name}"].rows
        assert sum(line[i : i + len(options)] == options for i in starts) == times * rows
        assert len(line) > rows * least
    # Without its instruction an input is the row's texts, and options follow as elsewhere.
    words = [*words, "--mode", "none", "--dest", tmp_path / "plain"]
    assert prompts(list(map(str, words))) == 0
    (task,) = open_split(tmp_path / "plain", "train").tasks
    assert task.source.tokens[: least - 1].tolist() == encode(long.strip())[: least - 1]
    line = task.source.tokens.tolist()
    assert sum(line[i : i + len(options)] == options for i in range(len(line))) == task.rows


def test_flans_suite_takes_flans_templates(folder, tmp_path):
    """Of COPA the suite names promptsource's templates; of FLAN's those of the task are taken."""
    suite, templates = load_suite("flan"), find_templates(["promptsource", str(folder)])
    by_label = {one.label: one for one in suite.sets}
    row = CASES["copa"][0][1]
    write_rows(tmp_path, "super_glue/copa", [row | {"label": 0}] * 100, "validation")
    runs = suite.runs_of(by_label["COPA"], templates)
    assert [run.template.name for run in runs] == [f"flan {i:02}" for i in range(1, 8)]
    examples = examples_of(runs, open_dataset("super_glue/copa", tmp_path), Form(limit=1))
    for one in examples:
        assert one.choices == [("Wet.", "Dry.")] and one.gold == [0]
        assert one.inputs[0].count("OPTIONS:") == 1


def test_the_mixture_leaves_out_what_has_no_templates_and_says_so(folder, caplog):
    flan = load_mixture("flan")
    whole = flan.with_templates(find_templates(["promptsource", str(folder)]))
    lacking = {
        "fix_punct",
        "opinion_abstracts/idebate",
        "opinion_abstracts/rotten_tomatoes",
        "wiki_lingua/english",
    }  # fmt: skip  not in the file that the tests make
    assert {one.dataset for one in whole.left_out} == lacking
    assert "mixture flan: 4 of 65 sets have no templates and are left out: fix_punct" in caplog.text
    caplog.clear()
    without = flan.with_templates(find_templates("promptsource"))
    assert len(without.sets) == 49 and len(without.tasks(find_templates("promptsource"))) == 450
    assert "mixture flan: 16 of 65 sets have no templates and are left out: " in caplog.text
    assert "para_crawl/enes, wmt14/fr-en, wmt16/cs-en, wmt16/de-en, wmt16/fi-en" in caplog.text
    with pytest.raises(UserError, match="no templates of data set 'anli'"):
        flan.with_templates(find_templates("own"))
    with pytest.raises(UserError, match="no templates of data set 'glue/mrpc'"):  # T0's need all
        load_mixture("t0").with_templates(find_templates("own")).tasks(find_templates("own"))
