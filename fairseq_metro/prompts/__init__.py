"""Prompts from promptsource's templates (Bach et al. 2022), read with PyYAML and Jinja2 alone.

templates = find_templates()
for template in templates.of("super_glue/rte"):
    prompted = template.prompt(row, row_random(seed, template.task_name, index))
"""

from fairseq_metro.prompts.collection import Templates, find_templates
from fairseq_metro.prompts.randomness import row_random
from fairseq_metro.prompts.rules import (
    EVALUATION,
    METRO,
    T0,
    DropReason,
    DropRules,
    NoValue,
    Prompted,
)
from fairseq_metro.prompts.template import Template, task_name

__all__ = [
    "EVALUATION",
    "METRO",
    "T0",
    "DropReason",
    "DropRules",
    "NoValue",
    "Prompted",
    "Template",
    "Templates",
    "find_templates",
    "row_random",
    "task_name",
]
