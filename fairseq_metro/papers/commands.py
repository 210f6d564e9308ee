"""Commands of an original: a script of the clone, or a command of fairseq-metro, with $VARIABLES."""

import string
from dataclasses import dataclass

from fairseq_metro.common.errors import UserError

# What a user sets for SCALE=paper; WORK and PROCESSES have values anyway.
VARIABLES = {
    "DATA": "binarized Wikipedia and books with base's vocabulary (preprocess/corpus_wikibooks.sh)",
    "DATA_PP": "the binarized mix of 160 GB of base++ and large++ (preprocess/corpus_mix160.sh)",
    "TASKS": "the folder of task files",
    "TEMPLATES": "FLAN's own templates (fairseq-metro import-flan), which translation has none without",
    "PASSAGES": "five passages for each question of MMLU; the paper's are T5-ANCE's from MS MARCO, "
    "fairseq-metro passages finds others",
    "MODELS": "runs student, middle and teacher: DistilRoBERTa, RoBERTa-base and RoBERTa-large "
    "(fairseq-metro import-roberta)",
    "T5_MODELS": "runs student, middle and teacher: T5-small, T5-base and T5-large (fairseq-metro "
    "import-t5)",
    "TEXT": "Wikipedia as files of documents",
    "RAW_TEXT": "Wikipedia binarized with the student's vocabulary (fairseq-metro binarize)",
    "AUGMENTED": "training rows translated there and back, ten for each (fairseq-metro fewshot --help)",
    "LMBFF": "a copy of LM-BFF's repository, with auto_template/ and auto_label_mapping/",
}


# What scripts read beside a command's own variables. None of it may come from the caller's environment:
# TASKS, say, would make a fine-tuning build its data again.
READ_BY_SCRIPTS = (
    "ARCH", "CACHE", "FILTER", "HUB", "INIT", "MIXTURE", "MODEL", "OUT", "PLAN", "PROMPT_OPTIONS",
    "SAVE", "SEEDS", "SETTING", "SIZE", "SUITE", "TEACHER", "VOCAB", "WORK",
)  # fmt: skip


def environment_of(caller):
    """A command's environment: the caller's without what the scripts would read of it."""
    left_out = {*VARIABLES, *READ_BY_SCRIPTS}
    return {name: value for name, value in caller.items() if name not in left_out}


@dataclass(frozen=True)
class Command:
    """program: words, such as bash and a script, or fairseq-metro and a command; options: its words.

    environment: pairs of a script's variables; optional: groups of options, each left out where one
    of its $VARIABLES is not set.
    """

    program: tuple[str, ...]
    options: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    optional: tuple[tuple[str, ...], ...] = ()

    @property
    def script(self):
        """The script of the clone that the command runs, or None."""
        return self.program[1] if self.program[0] in ("bash", "python") else None

    def words(self, optional=None):
        """All words; ``env`` comes first where there are variables. optional: groups to include,
        None for all."""
        groups = self.optional if optional is None else optional
        variables = [f"{name}={value}" for name, value in self.environment]
        more = [word for group in groups for word in group]
        return (*(["env"] if variables else []), *variables, *self.program, *self.options, *more)

    def shown(self):
        """The command for display, with its optional groups in brackets."""
        groups = [f"[{' '.join(group)}]" for group in self.optional]
        return " ".join([*map(_quoted, self.words(optional=())), *groups])

    def variables(self):
        """Names of the $VARIABLES in it, those of its optional groups apart: (list, list)."""
        more = [name for group in self.optional for name in names_in(group)]
        return names_in(self.words(optional=())), list(dict.fromkeys(more))

    def filled(self, values):
        """The words to run, each $NAME replaced by ``values[NAME]``. Raises :class:`UserError`."""
        known = [group for group in self.optional if all(map(values.get, names_in(group)))]
        return filled(self.words(optional=known), values)


def names_in(words):
    """Names of the $VARIABLES in words, in their order: list of str.

    >>> names_in(["a=$WORK/b", "$TASKS", "$WORK"])
    ['WORK', 'TASKS']
    """
    names = [name for word in words for name in string.Template(word).get_identifiers()]
    return list(dict.fromkeys(names))


def filled(words, values):
    """Words with their ``$NAME`` replaced. Raises :class:`UserError` for a variable that is not set.

    >>> filled(["TASKS=$TASKS", "a"], {"TASKS": "t"})
    ['TASKS=t', 'a']
    """
    for name in names_in(words):
        if not values.get(name):
            what = f": {VARIABLES[name]}" if name in VARIABLES else ""
            raise UserError(f"{name} is not set; the original needs it{what}")
    return [string.Template(word).substitute(values) for word in words]


def _quoted(word):
    """A word as a shell takes it, with its $VARIABLES."""
    return f'"{word}"' if any(letter in word for letter in " '()") else word
