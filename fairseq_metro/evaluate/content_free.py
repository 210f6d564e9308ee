"""Content-free inputs: what contextual calibration (Zhao et al. 2021) asks a model's bias with."""

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import Prompted, row_random
from fairseq_metro.prompts.mixtures.flan import input_fields

CONTENT_FREE = ("N/A", "[MASK]", "-")


def content_free_inputs(template, row, pair):
    """The row's input with every text it shows replaced, once for each of CONTENT_FREE: tuple of str.

    Texts that are choices stay: they are the row's question, not its content. template: a Template;
    pair: the row's Prompted, whose choices these inputs are scored with. Ready-made rows (template
    None) have no fields to replace: their inputs are the bare texts.
    """
    if template is None:
        return CONTENT_FREE
    paths = input_fields(template)
    inputs = []
    for text in CONTENT_FREE:
        bare = row
        for path in paths:
            bare = _replaced(bare, path, text, pair.choices)
        try:
            # The same generator for all: a random wording is the same in each of them.
            given = template.prompt(bare, row_random(0, template.task_name, 0))
        except UserError:
            given = None
        inputs.append(given.input if isinstance(given, Prompted) and given.input else text)
    return tuple(inputs)


def _replaced(value, path, text, keep):
    """A copy of ``value`` in which the texts at ``path`` (keys) are ``text``, but for ``keep``."""
    if isinstance(value, dict) and path:
        key = path[0]
        return (
            {**value, key: _replaced(value[key], path[1:], text, keep)} if key in value else value
        )
    if isinstance(value, (list, tuple)):
        return [_replaced(item, path, text, keep) for item in value]
    return text if isinstance(value, str) and value not in (keep or ()) else value
