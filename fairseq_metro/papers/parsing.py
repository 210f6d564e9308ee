"""Check the commands of an original against their programs before the first one starts.

A script of ``train_scripts/`` is followed to the words of fairseq-train that it would start, by the
same tables, and these are read by fairseq's own parser; every other command by its own.
"""

import contextlib
import io

from fairseq_metro.analysis.figures import command as figures
from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate import options as evaluation
from fairseq_metro.evaluate.fewshot import command as fewshot
from fairseq_metro.papers.smash import options as smash_options
from fairseq_metro.prepare.prompted import plan as prompts
from fairseq_metro.recipes import finetuning, options, smash
from fairseq_metro.recipes.batches import share_sequences
from fairseq_metro.recipes.finetuning_table import finetuning as finetuning_row
from fairseq_metro.recipes.smash_table import distillation
from fairseq_metro.recipes.words import chosen, words

PROCESSES = 8  # stands for $PROCESSES
OBJECTIVES = {"pretrain_metro.sh": "metro_t5", "pretrain_t5.sh": "t5"}
RECIPES = {"finetune_t0.sh": "t0", "finetune_t0p.sh": "t0", "finetune_t0pp.sh": "t0",
           "finetune_flan.sh": "flan", "finetune_soft_prompt.sh": "soft_prompt"}  # fmt: skip
GROUPS = {"smash_pair.sh": ("sentence_pair", "roberta"),
          "smash_single.sh": ("single_sentence", "roberta"),
          "smash_pair_t5.sh": ("sentence_pair", "hf")}  # fmt: skip


def check_command(command):
    """Raise :class:`UserError` where a :class:`Command`'s program would refuse its words.

    Files and folders need not be there yet.
    """
    text = " ".join((*command.program, *command.options))
    try:
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            _check(command)
    except SystemExit:
        reason = errors.getvalue().strip().splitlines()[-1:] or ["it says no more"]
        raise UserError(f"{text}: refused ({reason[0]})") from None
    except UserError as error:
        raise UserError(f"{text}: {error}") from None


def _check(command):
    words = [*command.options, *(word for group in command.optional for word in group)]
    if command.script and command.script.startswith("train_scripts/"):
        parse_training(training_words(command))
    elif command.program == ("fairseq-metro", "prompts"):
        prompts.chosen_mixture(prompts.parser().parse_args(words))
    elif command.script == "eval/run.sh":
        environment = dict(command.environment)
        model, *more = words
        more = ["--suite", environment["SUITE"], "--tasks", environment["TASKS"],
                "--out", environment["OUT"], *more]  # fmt: skip
        args = evaluation.parser().parse_args([model, *more])
        evaluation.check(args)
        evaluate_command().suites_of(args)
    elif command.program == ("fairseq-metro", "fewshot"):
        fewshot.check(fewshot.options.parser().parse_args(words))
    elif command.program[:2] == ("fairseq-metro", "figure"):
        figures.parser(command.program[2]).parse_args(words)
    elif command.program == ("fairseq-metro", "smash-table"):
        smash_options.table().parse_args(words)
    elif command.program == ("fairseq-metro", "smash-figure"):
        smash_options.figure().parse_args(words)
    else:
        raise UserError("no such program is known here")


def evaluate_command():
    """The evaluation's command, imported where it is needed."""
    from fairseq_metro.evaluate import command

    return command


def training_words(command):
    """fairseq-train's words, the data left out, of a script of train_scripts/: list of str."""
    script = command.script.partition("/")[2]
    given = {**dict(command.environment), "PROCESSES": str(PROCESSES)}
    if script in OBJECTIVES:
        return [*_pretraining(OBJECTIVES[script], given), *command.options]
    if script in RECIPES:
        return [*_finetuning(RECIPES[script], given), *command.options]
    return [*_distillation(*GROUPS[script], given), *command.options]


def _pretraining(objective, given):
    args = options.parser().parse_args(
        ["--objective", objective, "--size", given["ARCH"], "--processes", given["PROCESSES"]]
    )
    row, batches = chosen(args)
    return words(row, batches, given["SAVE"])


def _finetuning(recipe, given):
    row = finetuning_row(recipe, given["ARCH"])
    batches = share_sequences(row, int(given["PROCESSES"]))
    start = finetuning.checked_start(given["INIT"], planned=True)
    return finetuning.words(row, batches, given["SAVE"], start)


def _distillation(group, model, given):
    row = distillation(group, given["SETTING"], model, given.get("ARCH"))
    teacher = given.get("TEACHER")
    smash.check_teacher(row, teacher, None, planned=True)
    if row.reads_text and "TEXT" in given:
        raise UserError(
            f"SETTING={row.setting} reads raw text, not TEXT's documents: give DATA alone"
        )
    batches = share_sequences(row, int(given["PROCESSES"]))
    start = smash.checked_start(given["INIT"], planned=True)
    return smash.words(row, batches, given["SAVE"], start, teacher)


def parse_training(words):
    """fairseq's own reading of fairseq-train's words, with this plugin's options: a Namespace.

    An option is not completed from its beginning. Raises SystemExit where it is refused.
    """
    import fairseq_metro

    fairseq_metro.register()
    from fairseq import options as fairseq_options

    parser = fairseq_options.get_training_parser()
    parser.allow_abbrev = False
    return fairseq_options.parse_args_and_arch(parser, ["DATA", *words])
