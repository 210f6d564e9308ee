"""Modified mixtures of a reproduction: fewer data sets, or no instructions in training."""

from pathlib import Path

import yaml

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write
from fairseq_metro.prompts.collection import promptsource_folder

PACKAGE = Path(fairseq_metro.__file__).parent
BASE = PACKAGE / "prompts" / "mixtures" / "benchmark_sentences.yaml"  # real-sentences
# Of each data set: the sentence, the label's field, the label words, as its templates have them.
PLAIN = {
    "glue/sst2": ("sentence", "label", "negative ||| positive"),
    "trec": ("text", "label_coarse", "Description ||| Entity ||| Abbreviation ||| Person ||| Location "
             "||| Quantity"),
    "glue/cola": ("sentence", "label", "unacceptable ||| acceptable"),
    "subj": ("text", "label", "subjective ||| objective"),
}  # fmt: skip
NAME = "reproduction without an instruction"
ENTRY = """  {id}: !Template
    answer_choices: {choices}
    id: {id}
    jinja: '{input} ||| {{{{ answer_choices[{label}] }}}}'
    metadata: !TemplateMetadata
      choices_in_prompt: false
      metrics:
      - Accuracy
      original_task: false
    name: {name}
    reference: ''
"""


def changed_mixture(settings, folder, templates):
    """(mixture, templates) of a fine-tuning's settings: names or paths for prompted_data.py.

    sets: the first so many data sets alone are trained on; instructions: ``none`` leaves the sentence
    alone, ``name`` has the data set's name before it. Files are written into ``folder``.
    """
    if "sets" not in settings and "instructions" not in settings:
        return settings["mixture"], templates
    mixture = yaml.safe_load(BASE.read_text("utf-8"))
    if "sets" in settings:
        mixture["sets"] = mixture["sets"][: settings["sets"]]
    else:
        templates = plain_templates(settings["instructions"], folder / "templates", templates)
        for entry in mixture["sets"]:
            entry["templates"] = [NAME]
    path = folder / "mixture.yaml"
    with atomic_write(path) as stream:
        yaml.safe_dump(mixture, stream, sort_keys=False)
    return path, templates


def plain_templates(kind, folder, templates):
    """A folder laid out as promptsource's: its templates of the mixture's sets and one without an
    instruction for each set that is trained on."""
    mixture = yaml.safe_load(BASE.read_text("utf-8"))
    sets = [entry["dataset"] for part in ("sets", "valid", "heldout") for entry in mixture[part]]
    places = [
        PACKAGE / "prompts" / "own",
        *(Path(p) for p in (templates, promptsource_folder()) if p),
    ]
    for dataset in dict.fromkeys(sets):
        source = next(
            (p for p in (q / dataset / "templates.yaml" for q in places) if p.is_file()), None
        )
        if source is None:
            raise UserError(f"no templates of {dataset}; install promptsource, or set TEMPLATES")
        text = source.read_text("utf-8").rstrip("\n") + "\n"
        if dataset in PLAIN:
            field, label, choices = PLAIN[dataset]
            before = f"{dataset}: " if kind == "name" else ""
            text += ENTRY.format(
                id=f"00000000-0000-0000-0000-{sets.index(dataset):012d}", choices=choices, label=label,
                input=f"{before}{{{{{field}}}}}", name=NAME,
            )  # fmt: skip
        target = folder / dataset / "templates.yaml"
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as stream:
            stream.write(text)
    return folder
