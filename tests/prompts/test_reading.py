"""prompts/reading.py: promptsource's YAML, and files that are damaged."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.reading import read_templates

GOOD = """dataset: imdb
subset: plain
extra: {kept: out}
templates:
  b: !Template
    answer_choices: null
    id: b
    jinja: '{{text}}

      |||{{label}}'
    name: second
    task_template: true
  a: !Template
    jinja: x ||| y
    name: 'first '
    metadata: !TemplateMetadata {metrics: null, original_task: null, choices_in_prompt: false}
"""


def file_of(tmp_path, text):
    path = tmp_path / "templates.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_is_read_whatever_else_it_says(tmp_path):
    dataset, templates = read_templates(file_of(tmp_path, GOOD))
    assert dataset == "imdb/plain"
    assert [t.name for t in templates] == ["first ", "second"]
    first, second = templates
    assert second.jinja == "{{text}}\n|||{{label}}" and second.answer_choices is None
    assert (first.original_task, first.choices_in_prompt, first.metrics) == (False, False, None)
    assert read_templates(file_of(tmp_path, GOOD), "other/name")[0] == "other/name"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dataset: imdb", "dataset: [imdb", "line 2: not valid YAML"),
        ("dataset: imdb", "dataset: 3", "dataset is 3, must be of type str"),
        ("dataset: imdb\n", "", "dataset is None, must be of type str"),
        ("templates:", "template:", "templates is None, must be of type dict"),
        ("name: second", "name: 'first '", "two templates have the name 'first '; rename one"),
        ("name: second", "name: 12", "template 'b': name is 12, must be of type str"),
        ("    name: second\n", "", "template 'b': name is None, must be of type str"),
        ("jinja: x ||| y", "jinja: [x]", "template 'first ': jinja is ['x'], must be of type str"),
        ("answer_choices: null", "answer_choices: [Yes, No]", "answer_choices is [True, False]"),
        ("original_task: null", "original_task: 1", "original_task is 1, must be of type bool"),
        ("metrics: null", "metrics: Accuracy", "metrics is 'Accuracy', must be of type list"),
        ("  a: !Template\n", "  b: !Template\n", "line 13: not valid YAML ('b' stands twice)"),
        ("!TemplateMetadata", "!!python/object/apply:os.system", "not valid YAML"),
        ("!TemplateMetadata", "!Other", "not valid YAML (could not determine a constructor"),
        (GOOD, "", "not a file of templates"),
        (GOOD, "- a\n- b\n", "not a file of templates"),
        (GOOD, b"dataset: imdb\xff", "not UTF-8 at byte 13"),
        (GOOD, "dataset: \x00", "not valid YAML"),
        (GOOD, GOOD[:150], "must be"),
    ],
)
def test_a_damaged_file_is_one_line_with_its_name(tmp_path, old, new, message):
    path = file_of(tmp_path, new if old == GOOD else GOOD.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        read_templates(path)
    said = str(error.value)
    assert said.startswith(str(path)) and message in said and "\n" not in said


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(UserError, match="not a file"):
        read_templates(tmp_path)
