import random

import pytest

from tests.evaluate.fakes import write_rows
from tests.interchange.t5_folders import write_folder
from tests.interchange.vocabulary import WORDS

SUITE = """
version: 1
name: toys
title: Toy sets
sets:
  - dataset: toy/kind
    label: Kind
    rows: 30
    prompts:
      which: {jinja: "{{text}} Which? ||| {{answer_choices[label]}}", answer_choices: small ||| old}
      silent: {jinja: "{% if label %}{{text}} ||| {{answer_choices[1]}}{% endif %}",
               answer_choices: small ||| old}
  - dataset: toy/pick
    label: Pick
    group: subject
    prompts:
      pick: {jinja: "{{text}} {{options | join(' ')}} ||| {{options[label]}}",
             answer_choices: "{{options | join('|||')}}"}
"""


def words(rng, low, high):
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """A folder with suite.yaml, tasks/ and model/, a random T5 of Hugging Face's."""
    folder, rng = tmp_path_factory.mktemp("toys"), random.Random(3)
    (folder / "suite.yaml").write_text(SUITE)
    for split in ("validation", "train"):
        kinds = [{"text": words(rng, 1, 12), "label": i % 2} for i in range(30)]
        picks = []
        for i in range(17):
            options = rng.sample(WORDS, rng.randint(2, 4))
            options[0] += f" {words(rng, 1, 3)}"
            picks.append({"text": words(rng, 1, 20), "options": options, "label": i % 2,
                          "subject": ["art", "law", "sport"][i % 3]})  # fmt: skip
        write_rows(folder / "tasks", "toy/kind", kinds, split)
        write_rows(folder / "tasks", "toy/pick", picks, split)
    write_folder(folder / "model")
    return folder
