"""prompts/reads.py, fields.py, missing.py: which fields templates read, and rows that lack them."""

import random

import pytest
from jinja2 import meta

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import METRO, NoValue, Prompted, Template, find_templates
from fairseq_metro.prompts.fields import FieldSearch, has_path
from fairseq_metro.prompts.sandbox import ENVIRONMENT
from tests.prompts.made_rows import SCHEMAS, row_of_schema


def template(jinja, answer_choices=None):
    return Template("some/set", "mine", jinja, answer_choices)


def names(jinja, answer_choices=None):
    return {".".join(path) for path in template(jinja, answer_choices).fields}


@pytest.mark.parametrize(
    "jinja, fields",
    [
        ("{{a}} {{b.c}} {{d['e'].f}} ||| {{answer_choices[label]}}", "a b.c d.e.f label"),
        ("{{a.b[0].c}} {{a[n].c}} {{x[:2]}} {{y | join(z)}}", "a.b a n x y z"),
        ("{% set s = a.strip() %}{{s}}{% set a = 'x' %}{{a}}", "a"),
        ("{% set s %}{{a}}{% endset %}{{s}}", "a"),
        ("{% for x in xs %}{{x}}{{loop.index}}{{y}}{% else %}{{z}}{% endfor %}", "xs y z"),
        ("{% for k, v in d.items() if k != bad %}{{k}}{{v}}{% endfor %}", "d bad"),
        ("{% for a, b in zip(xs, ys) %}{{a}}{% endfor %}{{ range(n) }}", "xs ys n"),
        ("{% macro m(a, b=c) %}{{a}}{{b}}{{d}}{{later}}{% endmacro %}"
         "{% set later = 1 %}{{ m(e) }}", "c e d"),
        ("{% call(x) f(a) %}{{x}}{{b}}{% endcall %}", "f a b"),
        ("{% with x = a %}{{x}}{{b}}{% endwith %}{{x}}", "a b"),
        ("{% if a %}{% set w = 'x' %}{% elif b == 2 %}{% set w = 'y' %}{% endif %}{{w}}", "a b"),
        ("{% for x in xs %}{% set seen = true %}{% endfor %}{% if seen %}y{% endif %}", "xs"),
        ("{% set ns = namespace(n=0) %}{% for x in xs %}{% set ns.n = x %}{% endfor %}{{ns.n}}", "xs"),
        ("{% if hint is defined %}{{hint}} {{a}}{% endif %}", "a"),
        ("{% if hint is not defined %}{{a}}{% else %}{{hint.text}}{% endif %}", "a"),
        ("{{ hint | default('none') }} {{ q.hint | d(b) }}", "q b"),
        ("{% if a %}{{a}}{% endif %} {{ b or 'x' }} {{ c if c else d }}", "a b c d"),
        ("{% filter upper %}{{a}}{% endfilter %}{{ [x, {'k': y}] | choice }}", "a x y"),
        ("{{ items | selectattr('x') | map(attribute='y') | list }}", "items"),
        ("{{ {'a': b}[c] }} {{ a ~ b }} {{ not d }} {{ e < f }}", "a b c d e f"),
    ],
)  # fmt: skip
def test_fields_are_what_a_template_takes_from_its_row(jinja, fields):
    assert names(jinja) == set(fields.split())


def test_answer_choices_read_fields_too_and_know_no_answer_choices_of_their_own():
    assert names("{{a}} ||| {{answer_choices[b]}}", "{{c.d}} ||| no") == {"a", "b", "c.d"}


@pytest.fixture(scope="module")
def shipped():
    return find_templates()


def test_no_shipped_template_reads_what_rows_of_its_data_set_lack(shipped):
    """Rows of the schemas that the mixtures' and T0 Eval's data sets have."""
    checked = 0
    for dataset in set(shipped.dataset_names()) & set(SCHEMAS):
        search = FieldSearch(shipped.of(dataset))
        for seed in range(30):
            search.look(row_of_schema(SCHEMAS[dataset], random.Random(seed)))
        search.check(dataset)
        checked += len(shipped.of(dataset))
    assert checked > 516


def test_the_names_of_shipped_templates_are_those_jinja_looks_up(shipped):
    """Jinja's own analysis knows nothing of optional fields and counts names set in one branch."""
    for dataset in shipped.dataset_names():
        for one in shipped.of(dataset):
            sources = [text for text in (one.jinja, one.answer_choices) if text is not None]
            trees = map(ENVIRONMENT.parse, sources)
            looked_up = set().union(*map(meta.find_undeclared_variables, trees))
            ours = {path[0] for path in one.fields}
            assert ours <= looked_up
            assert looked_up - ours <= {"answer_choices", "nss"}, one  # nss: set in one branch


# Rows without a field


def check(templates, rows):
    search = FieldSearch(templates)
    for row in rows:
        search.look(row)
    search.check("train/my/set")


@pytest.mark.parametrize(
    "jinja, words",
    [
        ("{{sentense}} ||| a", "'sentense' is no field .*nearest: sentence; the fields: label, q, se"),
        ("{% if sentense %}{{sentense}}{% endif %} ||| a", "'sentense' is no field"),
        ("{{sentence}} ||| {{answer_choices[labels]}}", "'labels' is no field .*nearest: label"),
        ("{{q.stemm}} ||| a", "'q.stemm' is no field .*nearest: q.stem"),
        ("{{sentence.txt}} ||| a", "'sentence.txt' is no field"),
        ("{% for w in sentense.split() %}{{w}}{% endfor %} ||| a", "'sentense' is no field"),
        ("{% if hint is defined %}{{hnit}}{% endif %} ||| a", "'hnit' is no field"),
    ],
)  # fmt: skip
def test_a_field_that_no_row_has_is_named_with_the_nearest(jinja, words):
    row = {"sentence": "a b", "label": 1, "q": {"stem": "why", "id": 3}}
    with pytest.raises(UserError, match=words) as error:
        check([template("{{sentence}} ||| {{label}}"), template(jinja)], [row, row])
    assert "my/set: row 1: some/set: template 'mine'" in str(error.value)
    assert "\n" not in str(error.value)


def test_fields_that_some_rows_have_are_fields():
    rows = [{"a": 1}, {"a": 2, "q": None}, {"a": 3, "q": {"stem": "x"}}, {"a": 3, "hint": "x"}]
    read = template("{{a}} {{q.stem}} {{q.items()}} {% if hint %}{{hint}}{% endif %} ||| b")
    check([read], rows)
    with pytest.raises(UserError, match=r"'hint' is no field of this row, nor of any other"):
        check([read], rows[:3])
    check([read], [])  # no rows are another error
    check([template("{{q.stem}}")], [{"q": None}])  # which fields q has, nobody knows


def test_a_field_with_a_hyphen_is_read_with_an_underscore():
    check([template("{{a_b}} ||| c")], [{"a-b": 1}])


def test_paths_end_at_methods_and_lists():
    row = {"d": {"x": [1]}, "t": "text"}
    assert (
        has_path(row, ("d", "x"))
        and has_path(row, ("d", "items"))
        and has_path(row, ("t", "lower"))
    )
    assert not has_path(row, ("d", "y")) and not has_path(row, ("t", "txt"))
    assert not has_path(row, ("items",))


# Values that a row lacks


@pytest.mark.parametrize(
    "jinja, row, reason",
    [
        ("{{a}} ||| b", {"a": None}, "no value in field 'a'"),
        ("{{a | upper | trim}} ||| b", {"a": None}, "no value in field 'a'"),
        ("{{'x' ~ a}} ||| b", {"a": None}, "no value in field 'a'"),
        ("{{a.b}} ||| b", {"a": {"b": None}}, "no value in field 'b'"),
        ("{{a.b.c}} ||| b", {"a": {"b": None}}, "no value in field 'b'"),
        ("{{a.b[0]}} ||| b", {"a": {"b": [None]}}, "no value in field 0"),
        ("x ||| {{answer_choices[label]}}", {"label": None}, "no value in field 'label'"),
        ("x ||| {{answer_choices[label]}}", {}, "no field 'label'"),
        ("{{a}} {{b}} ||| b", {"a": "x"}, "no field 'b'"),
        ("{{b | replace('x', 'y')}} ||| b", {"a": "x"}, "no field 'b'"),
        ("{% if a == 'x' %}{{b}}{% endif %} ||| b", {"a": "x", "b": None}, "no value in field 'b'"),
    ],
)
def test_a_printed_null_or_missing_field_makes_a_bad_row(jinja, row, reason):
    found = template(jinja, "yes ||| no").prompt(row)
    assert found == NoValue(reason), found


@pytest.mark.parametrize(
    "jinja, row, text",
    [
        ("{% if a %}{{a}}{% else %}none{% endif %} ||| b", {"a": None}, "none"),
        ("{{a or 'none'}} {{ b | default('x', true) }} ||| b", {"a": None, "b": None}, "none x"),
        ("{% if a is none and a == None and None == a %}none{% endif %} ||| b", {"a": None}, "none"),
        ("{% if a is not none %}{{a}}{% endif %} ||| b", {"a": None}, ""),
        ("{% if t == 'x' %}{{b}}{% endif %}y ||| b", {"t": "y", "b": None}, "y"),
        ("{% if h is defined %}{{h}}{% endif %}y ||| b", {"t": "y"}, "y"),
        ("{{ h | default('no') }}y ||| b", {"t": "y"}, "noy"),
        ("{{a.text[0]}}y ||| b", {"a": {"text": []}}, "y"),  # a question without an answer
        ("{{a}}{{b}} ||| b", {"a": "", "b": 0}, "0"),
        ("{% if a %}{% set w = 'x' %}{% endif %}{{w}}y ||| b", {"a": 0}, "y"),
    ],
)  # fmt: skip
def test_what_a_template_asks_for_may_be_null_or_missing(jinja, row, text):
    found = template(jinja).prompt(row)
    assert isinstance(found, Prompted) and found.input == text, found


def test_apply_prints_what_promptsource_prints_for_a_null():
    assert template("{{a}} {{b.c}}{{x}} ||| y").apply({"a": None, "b": {"c": None}}) == [
        "None None",
        "y",
    ]


def test_a_bad_row_is_one_whatever_the_rules_say():
    assert template("{{a}} ||| ").prompt({"a": None}, rules=METRO) == NoValue(
        "no value in field 'a'"
    )
