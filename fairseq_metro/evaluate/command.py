"""``fairseq-metro evaluate``, which ``eval/run.sh`` starts."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write, sha256_file, write_json
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.sources import bad_rows_limit
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.evaluate import sharing
from fairseq_metro.evaluate.comparison import run_comparison
from fairseq_metro.evaluate.examples import Form
from fairseq_metro.evaluate.options import check, most_passages, parser
from fairseq_metro.evaluate.passages import read_passages
from fairseq_metro.evaluate.pictures import draw_templates
from fairseq_metro.evaluate.published_rows import check_hits, refuse_unfit_expectation
from fairseq_metro.evaluate.ranking import CONTEXTUAL
from fairseq_metro.evaluate.report import characters_of, headline, picture_name, report
from fairseq_metro.evaluate.results import claim, read_results
from fairseq_metro.evaluate.runner import Job, evaluate, open_sets
from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.evaluate.summary import summarize
from fairseq_metro.evaluate.unseen import unseen_suites
from fairseq_metro.prompts import find_templates
from fairseq_metro.trainer.checkpoint_names import named_checkpoint
from fairseq_metro.vocabulary.characters import WARN

logger = logging.getLogger(__name__)


def main(argv=None):
    args = parser().parse_args(argv)
    check(args)
    if args.compare:  # reads files alone, so that it needs no torch
        sys.stdout.write(run_comparison(*args.compare, args.out))
        return 0
    from fairseq_metro.evaluate.curve import evaluate_checkpoints

    args.model = named_checkpoint(args.model)
    device = sharing.start()
    level = logging.INFO if sharing.rank() == 0 else logging.WARNING
    out, device = args.out or default_out(args), args.device or device
    try:
        with messages_on_stderr(level):
            if args.checkpoints:
                evaluate_checkpoints(
                    args.model, out, lambda path, to: evaluate_model(args, path, to, device)
                )
            else:
                evaluate_model(args, args.model, out, device)
    except OSError as error:
        raise UserError(
            f"{error.filename or args.out}: {error.strerror}; name another --out"
        ) from None
    finally:
        sharing.stop()
    return 0


def default_out(args):
    """``evaluation/<suites>`` in the model's folder, apart for ``--checkpoints``."""
    folder = args.model if args.model.is_dir() else args.model.parent
    name = "+".join(Path(name).stem for name in args.suite)
    return folder / "evaluation" / (f"{name}-checkpoints" if args.checkpoints else name)


def suites_of(args):
    """The suites that are asked for, with what the options change of them: list of Suite."""
    suites = [load_suite(name) for name in args.suite]
    if args.sets:
        suites = _only(suites, args.sets)
    if args.clusters:
        suites = [suite.of_clusters(args.clusters) for suite in suites]
    if args.mode:
        suites = [suite.in_mode(args.mode) for suite in suites]
    if args.split:
        suites = [suite.on_split(args.split) for suite in suites]
    if args.shots is not None:
        suites = [replace(suite, shots=args.shots) for suite in suites]
    return suites


def _only(suites, names):
    """The suites with the named sets; a name must be in one of them."""
    known = {
        name
        for suite in suites
        for suite_set in suite.sets
        for name in (suite_set.name, suite_set.label)
    }
    if unknown := [name for name in names if name not in known]:
        suites[0].with_sets(unknown)  # says which names are like it
    return [suite.with_sets([n for n in names if any(n in (s.name, s.label) for s in suite.sets)])
            for suite in suites]  # fmt: skip


def settings_of(args, suites, facts):
    """What ``settings.json`` says: all that decides the numbers, and the stamp."""
    given = {"clusters": args.clusters, "mode": args.mode, "max_bad_rows": args.max_bad_rows,
             "unseen_by": args.unseen_by and str(args.unseen_by)}  # fmt: skip
    return {
        "suites": [suite.name for suite in suites],
        **{name: value for name, value in given.items() if value},
        "sets": args.sets, "split": args.split, "model": facts, "rank_by": args.rank_by,
        "dtype": args.dtype, "shots": suites[0].shots, "seed": args.seed,
        "sequential_draws": args.sequential_draws, "limit": args.limit,
        "passages": sha256_file(args.passages) if args.passages else None,
        "most_passages": most_passages(args), "stamp": make_stamp(),
    }  # fmt: skip


def evaluate_model(args, source, out, device):
    """Evaluate one model into ``out``; returns the summary (in process 0, else None)."""
    from fairseq_metro.evaluate.model_source import load_model, model_facts

    suites, left_out = suites_of(args), {}
    whole = {suite.name: suite for suite in suites}
    if args.unseen_by:
        suites, left_out = unseen_suites(suites, args.unseen_by)
    templates = find_templates(args.templates)
    passages = read_passages(args.passages) if args.passages else None
    form = Form(
        args.seed, args.sequential_draws, args.limit, passages, most_passages(args),
        args.rank_by == CONTEXTUAL, bad_rows_limit(args),
    )  # fmt: skip
    facts = sharing.from_first(lambda: model_facts(source))
    settings = settings_of(args, suites, facts)
    refuse_unfit_expectation(args.expect, settings)
    sharing.from_first(lambda: claim(out, settings))
    predictor = _Once(lambda: load_model(source, device, args.dtype, args.frozen_model))
    decisive = {"model": facts["sha256"], "rank_by": args.rank_by, "dtype": args.dtype}
    done = []
    for suite in suites:
        job = Job(
            suite, templates, args.tasks, args.hub, out, form, args.rank_by, suite.shots,
            bool(args.sets), args.max_tokens, {**decisive, "shots": suite.shots},
            args.allow_unknown,
        )  # fmt: skip
        left_out |= evaluate(job, predictor)
        opened, _ = open_sets(job)
        done.append(
            (
                whole[suite.name],
                {name: [r.name for r in runs] for name, (_, runs) in opened.items()},
            )
        )
    if sharing.rank() != 0:
        return None
    return write_report(out, done, settings, left_out, args.expect)


class _Once:
    """A function's value, made when first asked for."""

    def __init__(self, make):
        self._make, self._made = make, None

    def __call__(self):
        if self._made is None:
            self._made = self._make()
        return self._made


def write_report(out, done, settings, left_out, expect=None):
    """Write ``summary.json``, ``report.md`` and the pictures of a finished evaluation.

    expect: a released model's name, whose published hits stand in the report beside ours.
    """
    results = read_results(out)
    summary = summarize(done, results, settings, left_out)
    for suite in summary["suites"]:
        suite["published"] = check_hits(suite, settings, results, expect)
    write_json(out / "summary.json", summary)
    for suite in summary["suites"]:
        if any(entry["mean"] is not None for entry in suite["sets"]):
            draw_templates(suite, out / picture_name(suite))
    with atomic_write(out / "report.md") as stream:
        stream.write(report(summary))
    for suite in summary["suites"]:
        for label, characters in characters_of(suite).items():
            if characters.share > WARN:
                characters.report(label, logger)
        logger.info("%s", headline(suite))
        if suite["left_out"]:
            logger.info("left out, report.md says why: %s", ", ".join(suite["left_out"]))
    logger.info("written: %s", out / "report.md")
    return summary
