"""Stand-ins for everything that an original reads: text, task files, models, prompts, passages.

A few rows of every data set, as many as a suite demands where it demands a number; random models of the
architecture ``tiny`` and of the roles' kinds; vocabularies of a few hundred pieces.
"""

import csv
import io
import json
import random
from types import SimpleNamespace

import torch

from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.interchange.model import HF_T5, ROBERTA, Model
from fairseq_metro.interchange.run_folder import write_run_folder
from fairseq_metro.models.hf_t5 import ARCHITECTURES as HF_SIZES
from fairseq_metro.models.hf_t5 import HfT5Config, HfT5Model
from fairseq_metro.models.roberta import ARCHITECTURES as ROBERTA_SIZES
from fairseq_metro.models.roberta import RobertaMLMConfig, RobertaMLMModel
from fairseq_metro.prepare.binarize import main as binarize
from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.mixtures import load_mixture
from fairseq_metro.smash.splits import SEEDS
from fairseq_metro.smash.tasks import load_task
from fairseq_metro.vocabulary.folder import Vocabulary
from tests import fewshot
from tests.evaluate.fakes import write_rows
from tests.prepare import samples
from tests.prompts.made_rows import SCHEMAS, made_value, row_from_uses

TRAIN, HELD_OUT = 6, 2  # rows of a split; of each template where rows take templates in turn
KS = {"mnli": 256, "sst2": 256}
FEWSHOT = "mnli mrpc qqp cola snli qnli rte stsb sst2 sst5 mr cr".split()
MORE_SCHEMAS = {
    "glue/mnli": {"premise": "text", "hypothesis": "text", "label": "0..2"},
    "snli": {"premise": "text", "hypothesis": "text", "label": "0..2"},
    "glue/qnli": {"question": "text", "sentence": "text", "label": "0..1"},
    "glue/wnli": {"sentence1": "text", "sentence2": "text", "label": "0..1"},
    "glue/sst2": {"sentence": "text", "label": "0..1"},
    "glue/cola": {"sentence": "text", "label": "0..1"},
    "glue/stsb": {"sentence1": "text", "sentence2": "text", "label": "0..5"},
    "yelp_polarity": {"text": "text", "label": "0..1"},
    "nq_open": {"question": "text", "answer": ["text"]},
    "squad": SCHEMAS["squad_v2"],
    "story_cloze/2016": {"story_id": "text", **SCHEMAS["story_cloze/2016"]},
    "e2e_nlg_cleaned": {
        "meaning_representation": "name[A], eatType[pub], food[French], priceRange[cheap], "
        "customer rating[low], area[riverside], familyFriendly[yes], near[B]",
        "human_reference": "text",
    },
    "coqa": {
        "story": "text",
        "questions": ["text"],
        "answers": {"input_text": ["text"], "answer_start": ["0"], "answer_end": ["9"]},
    },
    "aeslc": {"email_body": "text", "subject_line": "text"},
}
# Splits with a number of rows that a suite demands, as far as it is small; no others of its suites are
# made, so that those sets are left out of an evaluation.
DEMANDED = {"super_glue/cb": 56, "super_glue/copa": 100, "super_glue/wsc.fixed": 104}
# FLAN's own templates, which stand in for what a user's copy gives.
TEMPLATE = """dataset: {dataset}
templates:
  {dataset}: !Template
    id: {dataset}
    name: of a user
    jinja: "{jinja}"
    answer_choices: null
    metadata: !TemplateMetadata {{original_task: true}}
"""


class Plain(random.Random):
    """Draws no text with separators in it and none that is empty or very long (made_rows.made_text)."""

    getrandbits = random.Random.getrandbits  # so that choices are not drawn by random()

    def random(self):
        return 0.3 + 0.6 * super().random()


def variables(folder):
    """What the originals read, made in a folder: {NAME: path}.

    FEWSHOT_TASKS is what TASKS is for SMASH, FLAN_TASKS for FLAN.
    """
    models, t5 = folder / "models", folder / "t5-models"
    templates = write_templates(folder / "templates")
    write_tasks(folder / "tasks", ["t0++"], "t0_eval", templates)
    write_mmlu(folder / "tasks")
    write_tasks(folder / "flan-tasks", ["flan", "super_glue"], "flan", templates)
    write_fewshot(folder / "fewshot")
    write_text(folder / "text", 40, 60)
    roberta, seq2seq = {**ROBERTA_SIZES["tiny"], "max_positions": 512}, HF_SIZES["tiny"]
    wider = {**roberta, "embed_dim": 96, "ffn_dim": 384, "attention_heads": 3}
    deeper = {**roberta, "encoder_layers": 4}
    for seed, (role, sizes) in enumerate(
        {"student": roberta, "middle": deeper, "teacher": wider}.items()
    ):
        write_model(models / role, ROBERTA, sizes, seed)
        write_model(t5 / role, HF_T5, {**seq2seq, "encoder_layers": 2 + seed}, seed)
    vocabulary = models / "student" / "vocab"
    return {
        "DATA": write_data(folder / "data", samples.vocabulary().path),
        "DATA_PP": write_data(folder / "data-pp", samples.vocabulary(vocab_size=700).path),
        "RAW_TEXT": write_data(folder / "raw", vocabulary),
        "TASKS": folder / "tasks", "FLAN_TASKS": folder / "flan-tasks",
        "FEWSHOT_TASKS": folder / "fewshot", "TEMPLATES": folder / "templates",
        "MODELS": models, "T5_MODELS": t5,
        "TEXT": folder / "text" / "*.txt", "PASSAGES": write_passages(folder / "passages.jsonl"),
        "AUGMENTED": write_augmented(folder / "augmented"),
        "LMBFF": fewshot.write_automatic_prompts(folder / "lm-bff", SEEDS),
    }  # fmt: skip


def write_data(folder, vocabulary):
    """Binarized text in a vocabulary."""
    text = folder.with_name(f"{folder.name}-text")
    write_text(text, 0, 30)
    train, valid = text / "first.txt", text / "second.txt"
    words = ["--vocab", vocabulary, "--train", train, "--valid", valid, "--dest", folder]
    assert binarize(list(map(str, [*words, "--workers", 1]))) == 0
    return folder


def write_text(folder, first, last):
    folder.mkdir(parents=True)
    middle = last - 4
    (folder / "first.txt").write_text(samples.text(first, middle), "utf-8")
    (folder / "second.txt").write_text(samples.text(middle, last), "utf-8")


def write_model(folder, kind, sizes, seed):
    """A run with a random model that has opinions, in the vocabulary of label words."""
    vocabulary = Vocabulary.load(fewshot.vocabulary())
    torch.manual_seed(seed)
    model_class, config = (
        (RobertaMLMModel, RobertaMLMConfig) if kind == ROBERTA else (HfT5Model, HfT5Config)
    )
    task = SimpleNamespace(source_dictionary=vocabulary.dictionary())
    model = model_class.build_model(config(**sizes), task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    write_run_folder(Model(kind, sizes, model.state_dict(), vocabulary.path, "made up"), folder)


# Task files


def write_tasks(folder, mixtures, suite, templates):
    """Rows of every data set of the mixtures and, where few are enough, of the suite."""
    rng = Plain(0)
    evaluated = load_suite(suite).sets
    demanded = {(entry.dataset, entry.split) for entry in evaluated if entry.rows}
    splits, whole_groups = {}, set()
    for mixture in map(load_mixture, mixtures):
        for entry in mixture.sets:
            splits.setdefault(entry.dataset, {"train", "validation"}).add(entry.split)
            if mixture.rule == "flan":
                whole_groups.add((entry.dataset, entry.split))
    for entry in evaluated:
        splits.setdefault(entry.dataset, {"train"}).add(entry.split)
    for dataset, names in splits.items():
        for split in sorted(names):
            if (dataset, split) in demanded and dataset not in DEMANDED:
                continue
            count, turns = TRAIN if split.startswith("train") else HELD_OUT, 1
            if (dataset, split) in whole_groups:  # FLAN's rows take a set's templates in turn
                turns = len(templates.of(dataset))
                count = TRAIN * turns
            if (dataset, split) in demanded:
                count = DEMANDED[dataset]
            rows = [row_of(dataset, templates, rng, i % turns + i // turns) for i in range(count)]
            write_rows(folder, dataset, rows, split)


def write_mmlu(folder):
    """As many questions of each subject as MMLU has."""
    rng = Plain(1)
    counts = load_suite("mmlu").sets[0].group_rows
    subjects = [subject for subject, count in counts for _ in range(count)]
    schema = SCHEMAS["ai2_arc/ARC-Challenge"]
    rows = [{**made_value(schema, rng, 4), "subject": subject} for subject in subjects]
    write_rows(folder, "mmlu", rows)


def row_of(dataset, templates, rng, i):
    """Row ``i``, which the data set's templates can read."""
    schema = MORE_SCHEMAS.get(dataset, SCHEMAS.get(dataset))
    if schema is not None:
        schema = schema[i % len(schema)] if isinstance(schema, list) else schema
        row = made_value(schema, rng, 4)
        for key, kind in schema.items():  # every label and answer has its turn
            if isinstance(kind, (dict, list)):
                continue
            if str(kind).startswith("in "):
                row[key] = row[kind[3:]][i % 4]
            elif ".." in str(kind):
                first, last = map(int, kind.split(".."))
                row[key] = first + i % (last - first + 1)
            elif "|" in str(kind):
                row[key] = kind.split("|")[i % (kind.count("|") + 1)]
        return row
    row = {}
    for template in templates.of(dataset):
        row = merged(row, row_from_uses(template.jinja, template.answer_choices, rng))
    return row


def merged(value, other):
    """``value`` with what ``other`` has besides, in dicts at any depth, lists of them included."""
    if isinstance(value, dict) and isinstance(other, dict):
        return {**other, **{key: merged(value[key], other.get(key)) for key in value}}
    if isinstance(value, list) and isinstance(other, list):
        pairs = zip(value, other, strict=False)
        return [merged(*pair) for pair in pairs] + value[len(other) :] + other[len(value) :]
    return value


def write_templates(folder):
    """Templates of the sets that promptsource has none of; all templates that there are."""
    known = set(find_templates().dataset_names())
    for entry in load_mixture("flan").sets:
        if entry.dataset in known:
            continue
        jinja = "{{ source }} ||| {{ target }}"
        if entry.cluster == "translation":
            other = entry.dataset.rpartition("/")[2].replace("en", "").strip("-")
            jinja = f"{{{{ translation.{other} }}}} in English? ||| {{{{ translation.en }}}}"
        path = folder / entry.dataset / "templates.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(TEMPLATE.format(dataset=entry.dataset, jinja=jinja), "utf-8")
    return find_templates(["promptsource", "own", str(folder)])


# Few-shot tasks, in LM-BFF's layout


def write_fewshot(folder):
    """Originals of the twelve tasks: enough rows of each label for its largest K."""
    rng = random.Random(1)
    for name in FEWSHOT:
        task, spec = load_task(name), load_task(name).lmbff
        labels = [0.5, 4.5] if task.is_regression else list(task.labels)
        for split, stem in spec.files.items():
            each = 2 * KS.get(name, 16) + 2 if split == "train" else 4
            rows = [fewshot_row(spec, label, rng, i) for i, label in enumerate(labels * each)]
            path = folder / task.folder / f"{stem}.{spec.format}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(table(spec, rows), "utf-8")


def fewshot_row(spec, label, rng, i):
    """Cells of a row: a label and its texts where the task's files have them."""
    words = "river stone house child winter letter garden".split()
    size = max(*spec.text, spec.label, spec.bucket or 0) + 1
    cells = [f"{i}"] * (size + (spec.label < 0))
    for column in spec.text:
        cells[column] = " ".join(rng.choices(words, k=rng.randint(2, 9)))
    for column in (spec.label, spec.bucket):
        if column is not None:
            cells[column] = str(label)
    return cells


def table(spec, rows):
    if spec.format == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue()
    header = [["column"] * len(rows[0])] if spec.header else []
    return "".join("\t".join(cells) + "\n" for cells in [*header, *rows])


def write_augmented(folder):
    """Rows without labels for a teacher."""
    for name in FEWSHOT:
        task = load_task(name)
        path = folder / task.folder / "augmented.jsonl"
        path.parent.mkdir(parents=True)
        row = {"sentences": ["a small river"] * task.prompt.sentences}
        path.write_text(f"{json.dumps(row)}\n" * 3)
    return folder


def write_passages(path):
    count = load_suite("mmlu").sets[0].rows
    line = json.dumps({"passages": [f"passage {k}" for k in range(6)]})
    path.write_text(f"{line}\n" * count)
    return path
