"""Two small data sets with templates, a mixture of them, and the slow way to prompted pairs."""

import json
import random

import numpy as np
from fairseq.data.indexed_dataset import MMapIndexedDataset

from fairseq_metro.prepare.prompted.main import main
from fairseq_metro.prompts import Prompted, find_templates, row_random
from tests.prepare import samples

NLI = """
dataset: toy/nli
templates:
  a: !Template
    id: a
    name: can we infer
    jinja: "Given {{premise}}\\n\\nCan we infer {{hypothesis}}? ||| {{ answer_choices[label] }}"
    answer_choices: Yes ||| No
    metadata: !TemplateMetadata {original_task: true}
  b: !Template
    id: b
    name: random words
    jinja: "{{ ['Suppose', 'Assume', 'Take it'] | choice }} {{premise}} So {{hypothesis}}? |||
      {{ answer_choices[label] }}"
    answer_choices: "right ||| {{ hypothesis.split()[0] }}"
    metadata: !TemplateMetadata {original_task: true}
  c: !Template
    id: c
    name: only for label 1
    jinja: "{% if label == 1 %}{{premise}} ||| {{hypothesis}}{% endif %}"
    answer_choices: null
    metadata: !TemplateMetadata {original_task: false}
"""
QA = """
dataset: toy/qa
templates:
  a: !Template
    id: a
    name: ask
    jinja: "{{question}} ||| {{answer}}"
    answer_choices: null
    metadata: !TemplateMetadata {original_task: true}
  b: !Template
    id: b
    name: choose
    jinja: "{{question}}\\tWhich one? {{options | join(', ')}} ||| {{answer}}"
    answer_choices: "{{ options | join('|||') }}"
    metadata: !TemplateMetadata {original_task: true}
"""
MIXTURE = """
version: 1
name: toys
rule: metro
cap: 90
sets:
  - {dataset: toy/nli, cluster: nli}
  - {dataset: toy/qa, cluster: qa}
heldout:
  - {dataset: toy/held, cluster: nli}
"""


def sentences():
    return [line for document in samples.documents() for line in document if len(line) > 12]


def nli_rows(number, seed):
    rng, lines = random.Random(seed), sentences()
    return [
        {"premise": rng.choice(lines), "hypothesis": rng.choice(lines), "label": rng.randrange(2)}
        for _ in range(number)
    ]


def qa_rows(number, seed):
    rng, lines = random.Random(seed), sentences()
    rows = []
    for i in range(number):
        options = [line[:40] for line in rng.sample(lines, 3)]
        answer = ["", "none of these", rng.choice(options)][min(i % 7, 2)]
        rows.append({"question": rng.choice(lines), "options": options, "answer": answer})
    return rows


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def write_all(folder, rows=150):
    """Task data, templates and mixture in a folder, for :func:`command`."""
    tasks = folder / "tasks"
    write_rows(tasks / "toy/nli/train.jsonl", nli_rows(rows, 1))
    write_rows(tasks / "toy/nli/validation.jsonl", nli_rows(30, 2))
    write_rows(tasks / "toy/nli/test.jsonl", nli_rows(9, 5))
    write_rows(tasks / "toy/qa/train.jsonl", qa_rows(rows // 2, 3))
    write_rows(tasks / "toy/held/validation.jsonl", nli_rows(20, 4))
    (folder / "mixture.yaml").write_text(MIXTURE)
    for name, text in (("nli", NLI), ("qa", QA), ("held", NLI.replace("toy/nli", "toy/held"))):
        (folder / f"{name}.yaml").write_text(text)


def command(folder, *more, workers=1, dest="data", mixture="mixture.yaml", tasks="tasks"):
    """The command's words; later ones win."""
    words = [
        "--mixture", folder / mixture, "--tasks", folder / tasks,
        "--templates", folder / "nli.yaml", folder / "qa.yaml", folder / "held.yaml",
        "--vocab", samples.vocabulary().path, "--dest", folder / dest, "--workers", workers,
        *more,
    ]  # fmt: skip
    return list(map(str, words))


def build(folder, *more, **options):
    """Build in this process; return the data folder."""
    assert main(command(folder, *more, **options)) == 0
    return folder / options.get("dest", "data")


def files_of(folder):
    """Name and bytes of every file below a folder, without what names the command."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "prompted.json"
    }


def lines_of(prefix):
    """The lines that fairseq's own reader finds."""
    dataset = MMapIndexedDataset(str(prefix))
    return [dataset[i].tolist() for i in range(len(dataset))]


def slow_pairs(folder, dataset, template_name, rows, seed=1, evaluation=False):
    """Prompted pairs one by one through ``apply``, METRO's rules written out, a reason each else."""
    templates = find_templates([str(folder / f"{name}.yaml") for name in ("nli", "qa", "held")])
    template = templates.get(dataset, template_name)
    pairs, reasons = [], []
    for index, row in enumerate(rows):
        parts = template.apply(row, row_random(seed, template.task_name, index))
        choices = template.choices_of(row)
        if len(parts) != 2:
            reasons.append("not two parts")
        elif not parts[1]:
            reasons.append("empty target")
        elif evaluation and choices is not None and parts[1] not in choices:
            reasons.append("target not among choices")
        else:
            parts = [" ".join(part.split()) for part in parts]
            choices = choices and tuple(" ".join(choice.split()) for choice in choices)
            pairs.append(Prompted(*parts, choices))
    return pairs, reasons


def check_task(folder, task_folder, split, pairs):
    """The files of a task hold exactly these pairs."""
    vocabulary = samples.vocabulary()
    ids = lambda text: [*vocabulary.encode(text), 2]  # noqa: E731
    prefix = f"{task_folder}/{split}.src-tgt"
    assert lines_of(f"{prefix}.src") == [ids(pair.input) for pair in pairs]
    assert lines_of(f"{prefix}.tgt") == [ids(pair.target) for pair in pairs]
    if pairs[0].choices is not None:
        choices = [ids(choice) for pair in pairs for choice in pair.choices]
        assert lines_of(f"{prefix}.choices") == choices
        gold = [
            (len(pair.choices), pair.choices.index(pair.target) if pair.target in pair.choices
             else -1) for pair in pairs
        ]  # fmt: skip
        assert np.load(f"{prefix}.gold.npy").tolist() == list(map(list, gold))
