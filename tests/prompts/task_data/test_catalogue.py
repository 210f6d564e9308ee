"""task_data/catalogue.py: data sets as YAML, held to what templates and mixtures expect of them."""

import jinja2.meta
import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.collection import promptsource_folder
from fairseq_metro.prompts.sandbox import ENVIRONMENT
from fairseq_metro.prompts.task_data.catalogue import descriptions
from fairseq_metro.prompts.task_data.schema import is_label
from fairseq_metro.prompts.task_data.shapes import SHAPES
from tests.prompts.task_data.files import write

KNOWN = descriptions()
# Rows of evaluation, as T0's paper and the authors count them.
T0_EVAL = {
    ("super_glue/rte", "validation"): 277, ("super_glue/cb", "validation"): 56,
    ("anli", "dev_r1"): 1000, ("anli", "dev_r2"): 1000, ("anli", "dev_r3"): 1200,
    ("super_glue/wsc.fixed", "validation"): 104, ("winogrande/winogrande_xl", "validation"): 1267,
    ("super_glue/copa", "validation"): 100, ("story_cloze/2016", "validation"): 1871,
    ("hellaswag", "validation"): 10042, ("super_glue/wic", "validation"): 638,
}  # fmt: skip
# What each answer of promptsource's templates stands for, in order: the order of the labels.
CLASSES = {
    "super_glue/rte": "entailment not_entailment",
    "super_glue/cb": "entailment contradiction neutral",
    "anli": "entailment neutral contradiction",
    "super_glue/wsc.fixed": "False True",
    "super_glue/wic": "False True",
    "super_glue/boolq": "False True",
    "glue/sst2": "negative positive",
    "glue/cola": "unacceptable acceptable",
    "glue/mrpc": "not_equivalent equivalent",
    "glue/qqp": "not_duplicate duplicate",
    "subj": "subjective objective",
    "cr": "negative positive",
    "mr": "negative positive",
    "rotten_tomatoes": "negative positive",
}


def test_rows_of_t0_evaluation():
    assert {key: KNOWN[key[0]].rows[key[1]] for key in T0_EVAL} == T0_EVAL


@pytest.mark.parametrize("name", CLASSES)
def test_the_order_of_labels(name):
    assert KNOWN[name].features["label"] == {"classes": CLASSES[name].split()}


@pytest.mark.parametrize("name", KNOWN)
def test_a_description_makes_sense(name):
    description = KNOWN[name]
    assert description.features and description.rows and description.layouts
    assert not set(description.unlabelled) & set(description.rows)
    for layout in description.layouts:
        assert layout.folders and layout.splits
        assert layout.shape in (None, *SHAPES)
        assert set(layout.rename.values()) <= {*description.features, "_", "question_id"}
        for field, mapping in layout.labels.items():
            classes = description.features[field]["classes"]
            assert sorted(mapping.values()) == list(range(len(classes)))
        for field in layout.label_files and [layout.label_field]:
            assert is_label(description.features[field])


@pytest.mark.skipif(promptsource_folder() is None, reason="promptsource is not installed")
def test_rows_have_every_field_that_templates_ask_for():
    templates = find_templates()
    described = sorted(set(KNOWN) & set(templates.dataset_names()))
    assert len(described) > 45
    for name in described:
        asked = set()
        for template in templates.of(name):
            for source in (template.jinja, template.answer_choices or ""):
                asked |= jinja2.meta.find_undeclared_variables(ENVIRONMENT.parse(source))
        missing = asked - set(KNOWN[name].features) - {"answer_choices", "range", "zip"}
        assert not missing, f"{name}: {missing}"


def test_trec_has_the_order_its_templates_have():
    templates = find_templates()
    if "trec" not in templates.dataset_names():
        pytest.skip("promptsource is not installed")
    coarse = KNOWN["trec"].features["label_coarse"]["classes"]
    fine = KNOWN["trec"].features["label_fine"]["classes"]
    words = dict(
        zip(coarse, templates.get("trec", "pick_the_best_descriptor").fixed_choices, strict=True)
    )
    assert words["HUM"] == "Person" and words["NUM"] == "Quantity" and words["LOC"] == "Location"
    all_fine = next(t for t in templates.of("trec") if len(t.fixed_choices or ()) == len(fine))
    words = dict(zip(fine, all_fine.fixed_choices, strict=True))
    assert words["cremat"] == "Creative Piece" and words["currency"] == "Currency"
    assert words["perc"] == "Percentage" and words["mount"] == "Mountain"


def test_a_file_beside_the_data_changes_and_adds_data_sets(tmp_path):
    write(
        tmp_path / "datasets.yaml",
        "super_glue/rte: {encoding: latin-1}\n"
        "mine: {features: {text: string}, layouts: [{folders: [m], splits: {train: t.csv}}]}\n",
    )
    known = descriptions(tmp_path)
    assert known["super_glue/rte"].layouts[0].encoding == "latin-1"
    assert known["super_glue/rte"].features == KNOWN["super_glue/rte"].features
    assert known["mine"].layouts[0].folders == ["m"] and "mine" not in descriptions()


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: {feature: {}}", "unknown key 'feature' .nearest: features"),
     ("a: {layouts: [{folder: x}]}", "a, layouts: unknown key 'folder' .nearest: folders"),
     ("a: 3", "expected names of data sets"), ("- a", "expected names"), ("a: {", "not valid YAML")],
)  # fmt: skip
def test_a_wrong_file_beside_the_data_is_told(tmp_path, content, message):
    write(tmp_path / "datasets.yaml", content)
    with pytest.raises(UserError, match=rf"datasets\.yaml: .*{message}") as error:
        descriptions(tmp_path)
    assert "\n" not in str(error.value)
