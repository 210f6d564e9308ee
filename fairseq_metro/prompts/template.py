"""One template: a row of a data set becomes an input and a target, exactly as in promptsource.

The order of the steps, ``promptsource.templates.Template.apply``: every ``}}`` of the source is
rewritten so that what is printed is cut to 2,048 characters; ``|||`` inside the row's texts is
replaced by a token; the answer choices are rendered and given to the template; the rendering is
split at ``|||``, the token undone, the parts stripped.
"""

import re
from contextlib import nullcontext
from copy import deepcopy
from functools import cached_property

from jinja2 import TemplateSyntaxError

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.missing import Watch, watching, with_nulls
from fairseq_metro.prompts.randomness import drawing_from
from fairseq_metro.prompts.reads import read_by
from fairseq_metro.prompts.rules import METRO, DropReason, NoValue
from fairseq_metro.prompts.sandbox import ENVIRONMENT, Compiled

SEPARATOR = "|||"
PROTECTED = "3ed2dface8203c4c9dfb1a5dc58e41e0"
LONGEST_FIELD = 2048
_CUT = f" | string | truncate({LONGEST_FIELD}) }}}}"


def task_name(dataset, template):
    """Name of the task that a data set and a template's name make (T0's and METRO's rule).

    >>> task_name("super_glue/rte", "does it follow that")
    'super_glue_rte_does_it_follow_that'
    """
    return re.sub(r"[^\w.]+", "_", f"{dataset.replace('/', '_')}_{template}")


def _protect(row):
    return {
        key: value.replace(SEPARATOR, PROTECTED) if isinstance(value, str) else value
        for key, value in row.items()
    }


def _split(text):
    return [part.replace(PROTECTED, SEPARATOR).strip() for part in text.split(SEPARATOR)]


class Template:
    """A template of a data set; compiled when first used, and again in a process it is sent to.

    dataset: path[/subset]; name: unique in the data set; jinja: input ``|||`` target;
    answer_choices: Jinja for a ``|||`` list, or None; original_task, choices_in_prompt: bool or
    None; metrics: list of str or None; id: a UUID; file: where it stands, for messages; complete:
    inputs are whole as they are rendered (FLAN's own templates): no field is cut, and options are
    added to none.
    """

    def __init__(
        self,
        dataset,
        name,
        jinja,
        answer_choices=None,
        *,
        original_task=None,
        choices_in_prompt=None,
        metrics=None,
        id=None,
        file=None,
        complete=False,
    ):
        self.dataset, self.name, self.jinja = dataset, name, jinja
        self.answer_choices = answer_choices
        self.original_task, self.choices_in_prompt = original_task, choices_in_prompt
        self.metrics, self.id, self.file, self.complete = metrics, id, file, complete

    @cached_property
    def task_name(self):
        """Name of the task that the data set and this template make."""
        return task_name(self.dataset, self.name)

    @property
    def random(self):
        """Whether rendering draws random numbers."""
        return self._cut.random or (self._choices is not None and self._choices.random)

    @cached_property
    def fixed_choices(self):
        """The choices where no row changes them: a tuple of str, or None."""
        if self._choices is None or self._choices.variables:
            return None
        return tuple(_split(self._explained(self._choices.render, {})))

    def apply(self, row, rng=None, truncate=True):
        """What promptsource's ``apply`` gives for a row: list of str, as a rule input and target.

        row: dict by field; rng: a random.Random that random wordings are drawn from (None:
        Python's global generator); truncate: cut each printed value to 2,048 characters.
        Raises IndexError for a random choice among nothing, UserError for everything else that the
        template cannot do with the row.
        """
        return self._apply(row, rng, self._cut if truncate else self._whole)[0]

    def choices_of(self, row, rng=None):
        """The rendered answer choices of a row: list of str, or None where there are none."""
        with self._drawing_from(rng):
            return self._choices_of(_protect(row))

    def prompt(self, row, rng=None, rules=METRO):
        """The row as a prompted pair under ``rules``: a Prompted, the DropReason, or a NoValue.

        As in T0 and METRO, a hyphen in a field's name reads as ``_``. Arguments and errors as
        those of ``apply``; an index error is a reason to drop the row. NoValue says that the template
        prints a value that the row does not have (missing.py), where ``apply`` prints ``None``.
        """
        if "-" in "".join(row):
            row = {key.replace("-", "_"): value for key, value in row.items()}
        watch = Watch(self._field_names)
        try:
            with watching(watch):
                compiled = self._whole if self.complete else self._cut
                parts, choices = self._apply(row, rng, compiled, watch)
        except IndexError:
            return DropReason.INDEX_ERROR
        return rules.judge(parts, choices) if watch.reason is None else NoValue(watch.reason)

    @cached_property
    def _cut(self):
        return self._compiled(self.jinja.replace("}}", _CUT))

    @cached_property
    def _whole(self):
        return self._compiled(self.jinja)

    @cached_property
    def _choices(self):
        return None if self.answer_choices is None else self._compiled(self.answer_choices)

    @cached_property
    def fields(self):
        """The fields that rows must have for this template, in order: tuple of paths (reads.py)."""
        sources = [source for source in (self.jinja, self.answer_choices) if source is not None]
        trees = [self._explained_syntax(ENVIRONMENT.parse, source) for source in sources]
        return tuple(dict.fromkeys(path for tree in trees for path in read_by(tree)))

    @cached_property
    def _field_names(self):
        return frozenset(path[0] for path in self.fields)

    @cached_property
    def _changes_rows(self):
        return self._cut.changes or (self._choices is not None and self._choices.changes)

    def _apply(self, row, rng, compiled, watch=None):
        variables = _protect(row)
        if "answer_choices" in variables:
            raise UserError(f"{self}: a row has a field 'answer_choices', rename the field")
        if self._changes_rows:  # its lists serve other templates too
            variables = deepcopy(variables)
        if watch is not None and None in variables.values():
            variables = with_nulls(variables)
        with self._drawing_from(rng):
            choices = self._choices_of(variables)
            variables["answer_choices"] = choices
            given = None if choices is None else tuple(choices)
            parts = _split(self._explained(compiled.render, variables))
        return parts, given

    def _choices_of(self, variables):
        if self._choices is None:
            return None
        if self.fixed_choices is not None:
            return list(self.fixed_choices)
        return _split(self._explained(self._choices.render, variables))

    def _drawing_from(self, rng):
        return drawing_from(rng) if self.random else nullcontext()

    def _compiled(self, source):
        return self._explained_syntax(Compiled, source)

    def _explained_syntax(self, read, source):
        try:
            return read(source)
        except TemplateSyntaxError as error:
            raise UserError(f"{self}: line {error.lineno}: {error.message}") from None

    def _explained(self, render, variables):
        try:
            return render(variables)
        except IndexError:
            raise
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            fields = ", ".join(sorted(set(variables) - {"answer_choices"}))
            raise UserError(f"{self}: {what} (the row's fields: {fields})") from None

    def __str__(self):
        return f"{self.file or self.dataset}: template {self.name!r}"

    def __repr__(self):
        return f"<Template {self.task_name}>"

    def __getstate__(self):
        compiled = ("_cut", "_whole", "_choices")
        return {key: value for key, value in self.__dict__.items() if key not in compiled}
