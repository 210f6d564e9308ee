"""The command ``fairseq-metro intermediate``."""

import contextlib
import logging
import shutil
import time

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import writing
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.sources import names_of
from fairseq_metro.prepare.folder_lock import locked, terminated_as_interrupted
from fairseq_metro.prepare.intermediate.examples import characters_of, check_enough, make_side
from fairseq_metro.prepare.intermediate.folder import assemble, put_in_place, recognised
from fairseq_metro.prepare.intermediate.plan import parser
from fairseq_metro.prepare.intermediate.plan import plan as make_plan
from fairseq_metro.prepare.intermediate.sides import (
    TRAIN,
    VALID,
    Side,
    check_documents,
    write_sides,
)
from fairseq_metro.prepare.intermediate.store import Rules, Sentences, collect
from fairseq_metro.prepare.intermediate.teacher_filter import TeacherFilter

logger = logging.getLogger(__name__)

BUILDING = ".building"  # in DEST: what is being made


@messages_on_stderr()
def main(argv=None):
    plan = make_plan(parser().parse_args(argv))
    with terminated_as_interrupted():
        build(plan)
    return 0


def build(plan):
    """Write, or complete, the data folder of a Plan; return its stamp.

    Raises :class:`UserError` for text that cannot be used, and for a ``DEST`` that cannot be
    written or was made otherwise. Until everything is there, ``DEST`` shows nothing of it.
    """
    started = time.monotonic()
    with writing(plan.dest), locked(plan.dest):
        stamp = recognised(plan.dest, plan.settings())
        if stamp is not None:
            logger.info("%s: finished already, kept", plan.dest)
            return stamp
        stamp = make(plan, plan.dest / BUILDING)
        shutil.rmtree(plan.dest / BUILDING)
    report(plan, stamp, time.monotonic() - started)
    return stamp


def make(plan, building):
    """Sentences, sides, examples, files; each taken up where an earlier run left it."""
    where = names_of(plan.sources)
    keep = TeacherFilter(plan.teacher, plan.group, plan.tokenizer) if plan.teacher else None
    if keep is None and plan.group.filter is not None:
        logger.info("group %s: no --filter-teacher, so nothing is filtered", plan.group.name)
    folder = building / "sentences"
    rules = Rules(
        plan.tokenizer_place, plan.lines, plan.group.least_tokens, plan.group.least_sentences,
        plan.seed,
    )  # fmt: skip
    begun = folder.exists()
    try:
        facts = collect(
            folder, plan.sources, plan.documents, plan.reading, rules, plan.workers,
            plan.sentence_settings(),
        )  # fmt: skip
    except UserError:
        if not begun:  # bad input leaves nothing behind
            remove(building, plan.dest)
        raise
    check_sentences(facts, plan, where, building)
    sentences = Sentences(folder)
    counts = write_sides(sentences, plan.held_out, plan.group)
    if not plan.held_out:
        del counts[VALID]
    check_documents(counts, plan.group, where)
    splits = {}
    for side, count in sizes(plan, sentences, counts, where).items():
        made = make_side(folder, side, plan, count, plan.settings(), keep)
        requested = (plan.size if side == TRAIN else plan.valid_size) is not None
        check_enough(made, count, requested, f"{where}: {side}", plan.group)
        check_characters(made, plan, f"{where}: {side}", building)
        splits[side] = {"documents": counts[side], **made}
    whole = building / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir()
    for side, made in splits.items():
        assemble(building / side, whole, side, made, len(plan.tokenizer))
    return put_in_place(plan, whole, splits, facts)


def check_sentences(facts, plan, where, building):
    """Raise :class:`UserError` where the text has no sentence to draw."""
    if facts["sentences"]:
        return
    remove(building, plan.dest)
    characters_of(facts).refuse(where, plan.allow_unknown)
    if facts["documents_left_out"]:
        raise UserError(
            f"{where}: no document keeps {plan.group.least_sentences} sentences of "
            f"{plan.group.least_tokens} tokens or more ({facts['documents_left_out']} documents); "
            "say with --documents and --lines how the text is laid out"
        )
    raise UserError(f"{where}: no text; give files with documents")


def check_characters(made, plan, place, building):
    """Log the share of unknown characters. Raises :class:`UserError` where there are too many."""
    characters = characters_of(made)
    if characters.too_many and not plan.allow_unknown:
        remove(building, plan.dest)
    characters.judge(place, plan.allow_unknown, logger)


def remove(building, dest):
    """Remove what is being made, where nothing is worth going on from, and an empty ``DEST``."""
    with contextlib.suppress(OSError):
        shutil.rmtree(building)
        dest.rmdir()


def sizes(plan, sentences, counts, where):
    """How many examples each side is to have: dict. Raises :class:`UserError` for too many."""
    possible = {side: Side(sentences, side).possible(plan.group) for side in counts}
    labels = len(plan.group.labels)
    for side, name, requested in (
        (TRAIN, "size", plan.size),
        (VALID, "valid-size", plan.valid_size),
    ):
        if side in possible and (not possible[side] or (requested or 0) > possible[side]):
            most = possible[side]
            raise UserError(
                f"{where}: {side} gives {most} examples, no sentence twice with a label, not "
                f"{requested or 'one'}; give "
                + (f"--{name} {most} or less" if most else "more text")
            )
    sizes = {TRAIN: plan.size or min(possible[TRAIN], plan.group.recipe.get("size", 1 << 62))}
    sizes[TRAIN] = sizes[TRAIN] // labels * labels
    if VALID in possible:
        share = round(sizes[TRAIN] * plan.held_out) // labels * labels
        sizes[VALID] = plan.valid_size or min(possible[VALID], max(labels, share))
    return sizes


def report(plan, stamp, seconds):
    """Log what is there, what was left out, and how the paper's schedule goes with it."""
    facts = stamp["sentences"]
    for sentence in plan.reading.bad_rows.summary():
        logger.warning("%s", sentence)
    logger.info(
        "%s: %d sentences of %d documents; left out: %d short or lone sentences, %d documents",
        plan.dest, facts["sentences"], facts["documents"], facts["sentences_left_out"],
        facts["documents_left_out"],
    )  # fmt: skip
    for side, made in stamp["splits"].items():
        logger.info(
            "%s/%s: %d examples of %d documents, %.1f tokens each, %d trimmed",
            plan.dest, side, made["examples"], made["documents"],
            made["tokens"] / made["examples"], made["trimmed"],
        )  # fmt: skip
        for word, counts in made.get("filter", {}).items():
            logger.info("%s: %d of %d kept", word, counts["kept"], counts["likeliest"])
    examples = stamp["splits"][TRAIN]["examples"]
    if epochs := plan.group.epochs(examples):
        logger.info(
            "the recipe's %d steps of %d visit each of %d examples %.1f times",
            plan.group.recipe["steps"], plan.group.recipe["batch"], examples, epochs,
        )  # fmt: skip
    logger.info("%s: %.1f s", plan.dest, seconds)
