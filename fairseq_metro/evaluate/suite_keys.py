"""The keys of a suite's file, and what the value of each must be."""

from fairseq_metro.prompts.mixtures import flan
from fairseq_metro.prompts.mixtures.keys import LIST, TEXT, TEXTS, Kind, one_of, whole

VERSION = 1
RANK, GENERATE = KINDS = ("rank", "generate")
METRICS = ("exact_match", "f1", "rouge1", "rouge2", "rougeL", "bleu")


def _read_templates(value):
    if value in ("all", "original"):
        return value
    return TEXTS.read(value) or None


def _read_prompts(value):
    """Templates in the suite itself: name -> jinja, or a mapping of jinja and answer_choices."""
    if not isinstance(value, dict) or not value:
        return None
    prompts = []
    for name, given in value.items():
        given = {"jinja": given} if isinstance(given, str) else given
        if not isinstance(given, dict) or set(given) - {"jinja", "answer_choices"}:
            return None
        if not all(isinstance(text, str) for text in given.values()) or "jinja" not in given:
            return None
        prompts.append((str(name), given["jinja"], given.get("answer_choices")))
    return tuple(prompts)


def _read_counts(value):
    good = isinstance(value, dict) and all(
        isinstance(name, str) and whole(1).read(count) for name, count in value.items()
    )
    return tuple(value.items()) if good else None


def _read_metrics(value):
    names = TEXTS.read(value)
    return names if names and all(name in METRICS for name in names) else None


_FLAG = Kind("true or false", lambda value: value if isinstance(value, bool) else None)

SET_KEYS = {
    "dataset": TEXT,
    "name": TEXT,
    "label": TEXT,
    "split": TEXT,
    "rows": whole(1),
    "jsonl": TEXT,
    "templates": Kind("all, original, or a list of template names", _read_templates),
    "templates_of": TEXT,
    "prompts": Kind("a mapping of names to jinja, or to jinja and answer_choices", _read_prompts),
    "cluster": TEXT,
    "kind": one_of(*KINDS),
    "metrics": Kind(f"some of {', '.join(METRICS)}", _read_metrics),
    "beam": whole(1),
    "max_length": whole(1),
    "group": TEXT,
    "group_rows": Kind("a mapping of groups to their numbers of rows", _read_counts),
    "options": _FLAG,
    "exemplars_from": TEXT,
    "exemplars": one_of("plain", "flan"),
    "premise": TEXT,
    "answers": TEXT,
    "mode": one_of(*flan.MODES),
}
SUITE_KEYS = {
    "version": one_of(VERSION),
    "name": TEXT,
    "title": TEXT,
    "runs": whole(1),
    "shots": whole(0),
    "defaults_of": TEXT,
    "defaults": Kind("a mapping of keys of sets", lambda v: v if isinstance(v, dict) else None),
    "sets": LIST,
}
