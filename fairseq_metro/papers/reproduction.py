"""Reproduce one table or figure of a paper: what is to run, the runs, a table, a plot, a verdict."""

from pathlib import Path

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.stamp import ROOT, make_stamp
from fairseq_metro.papers import options, steps
from fairseq_metro.papers.adopted import adopted_rows
from fairseq_metro.papers.cells import (
    MEASURED,
    Place,
    is_pretrained,
    run_folder,
    run_step,
    variables,
)
from fairseq_metro.papers.commands import VARIABLES
from fairseq_metro.papers.compute import compute_ratio, flops
from fairseq_metro.papers.originals import original_steps
from fairseq_metro.papers.originals.scale import Scale
from fairseq_metro.papers.pair import append, lines_of
from fairseq_metro.papers.probe import MFU, gpu_flops, slowness
from fairseq_metro.papers.tables import finish
from fairseq_metro.papers.targets import find_target
from fairseq_metro.papers.variants import objective_of
from fairseq_metro.recipes.gpus import GPUS
from fairseq_metro.recipes.plan import AUTHORS_RUNS

SPLITS = (13, 21, 42, 87, 100)  # of few-shot tasks
REHEARSAL = "rehearsal"  # what stands for a scale in rows and file names


def steps_of(target, scale, seeds=None, rehearsal=None):
    """The steps of a target at a scale: list of :class:`fairseq_metro.papers.steps.Step`.

    rehearsal: of an original, a :class:`Scale`.
    """
    settings = target.settings_at(scale)
    if settings.get("runs") == "checks":
        return steps.check_steps(settings)
    if settings.get("runs") == "stages":
        return steps.smash_steps(settings, seeds or SPLITS)
    if settings.get("runs") == "trained":
        return steps.trained_steps(settings, seeds or settings["seeds"], compute_ratio)
    return original_steps(target.name, settings, rehearsal)


def pending(todo, rows, place):
    """The steps that are still to be run: those without a row, and pretraining whose row is there but
    whose model is not, or not to its end, where another step needs it."""
    left = [step for step in todo if step.key not in rows]
    trained = ("finetune", "spans", "evaluate")
    needed = {
        run_folder(needed_by.fields, place) for needed_by in left if needed_by.kind in trained
    }
    again = [step for step in todo if step.kind == "pretrain" and step.key in rows
             and run_folder(step.fields, place) in needed
             and not is_pretrained(step.fields, place)]  # fmt: skip
    return [step for step in todo if step in left or step in again]


def plan(target, scale, todo, done, place, probe, rehearsed=False):
    """The words of a plan. probe: measure this machine's speed, or None where nothing is measured;
    rehearsed: say nothing of tokens, disk and hours, which are the original's."""
    lines = [f"{target.paper}: {target.title} (SCALE={scale})"]
    if scale == "cpu" and "stands_for" in target.settings:
        lines.append(f"note: {target.settings['stands_for']}")
    if scale == "paper":
        lines += original_notes(target, todo)
    lines.append(
        f"{len(todo)} steps to run, {done} finished already, results in {_short(place.out)}"
    )
    factor, speed, basis = (probe or assumed)(scale)
    total = 0.0
    for step in todo:
        seconds = seconds_of(step, factor, speed, place)
        total += seconds or 0.0
        parts = [f"{step.tokens:,} tokens" if step.tokens else "",
                 f"{step.bytes / 1e6:,.0f} MB" if step.bytes else "",
                 "time unknown" if seconds is None else _minutes(seconds)]  # fmt: skip
        costs = "a rehearsal" if rehearsed else ", ".join(filter(None, parts))
        lines.append(f"  {step.key}: {costs}")
        if missing := missing_variables(step, place):
            lines[-1] += f"; left out while {' and '.join(missing)} is not set"
        if step.command:
            lines.append(f"    {step.command.shown()}")
        arch = step.fields.get("arch")
        if (
            step.fields.get("variant") == "metro"
            and step.key.startswith("pretrain")
            and (arch in AUTHORS_RUNS and scale == "paper" and not rehearsed)
        ):
            gpus, hours = AUTHORS_RUNS[arch]
            lines.append(f"    (the authors: {hours:g} hours on {gpus} A100)")
    if rehearsed:
        return "\n".join(lines)
    tokens, size = sum(step.tokens for step in todo), sum(step.bytes for step in todo)
    lines.append(
        f"in all: {tokens:,} tokens, {size / 1e6:,.0f} MB of disk in {_short(place.work)}, "
        f"{_minutes(total)} ({basis})"
    )
    return "\n".join(lines)


def original_notes(target, todo):
    """What is to be known of an original: no commands, rows that are not run, variables to set."""
    commands = [step.command for step in todo if step.command]
    lines = []
    if "all" in target.settings:
        lines.append("no commands: nothing is trained for it, it is checked here in seconds")
    if "quoted" in target.settings:
        lines.append(f"not run: {target.settings['quoted']}")
    names = dict.fromkeys(name for command in commands for name in command.variables()[0])
    more = dict.fromkeys(name for command in commands for name in command.variables()[1])
    for label, labelled in (("set", names), ("may be set", more.keys() - names.keys())):
        lines += [f"{label}: {name}, {VARIABLES[name]}" for name in labelled if name in VARIABLES]
    return lines


def missing_variables(step, place):
    """Names of the variables that are not set and without which a step is left out."""
    values = variables(place)
    return [name for name in step.requires if not values.get(name)]


def seconds_of(step, factor, speed, place):
    """Estimated seconds of a step on this machine, or None if unknown."""
    if step.seconds is not None:
        shared = place.processes if step.kind == "pretrain" else 1
        return step.seconds * factor / shared
    work = step.fields.get("flops")
    if work is None:
        objective = objective_of(step.fields["variant"])
        work = step.tokens * flops(step.fields["arch"], objective)
    return work / (speed * place.processes) if work else None


def assumed(scale):
    """As :func:`probed`, where nothing is measured: a quiet reference core, or one A100."""
    if scale == "cpu":
        return 1.0, None, "not probed: core-time of a quiet 2 GHz server core"
    return 1.0, MFU * GPUS["a100-40"].half * 1e12, f"not probed: one A100 at {MFU:.0%} of its peak"


def probed(scale):
    """(slowness of this CPU, FLOPs a second in training on its GPU or None, words)."""
    if scale == "cpu":
        factor = slowness()
        return factor, None, f"probed: {factor:.2f} times the reference core's time now"
    peak = gpu_flops()
    if peak is None:
        return assumed(scale)
    text = f"probed: {peak / 1e12:.0f} TFLOP/s, {MFU:.0%} of it in training"
    return 1.0, MFU * peak, text


def _minutes(seconds):
    return f"{seconds / 3600:,.1f} hours" if seconds >= 7200 else f"{seconds / 60:,.1f} minutes"


def _short(path):
    path = Path(path).resolve()
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def run(target, scale, todo, place):
    """Run steps in their order, each appended to the file of results when it is finished; the rows."""
    commands = [step for step in todo if step.kind == "command"]
    needs_gpu = scale == "gpu1" or (commands and scale != REHEARSAL)
    if needs_gpu and gpu_flops(64, 0.01) is None:
        raise UserError(f"SCALE={scale} needs a GPU, and there is none; SCALE=cpu, or --plan")
    if commands:
        check_commands(commands, place)
    place.work.mkdir(parents=True, exist_ok=True)
    place.out.parent.mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(todo, 1):
        if missing := missing_variables(step, place):
            print(
                f"[{number}/{len(todo)}] {step.key}: left out, {missing[0]} is not set", flush=True
            )
            continue
        print(f"[{number}/{len(todo)}] {step.key}", flush=True)
        result = run_step(step, place)
        row = {"key": step.key, "kind": step.kind, "scale": scale, **step.fields, "result": result}
        row["stamp"] = {k: v for k, v in make_stamp().items() if k in ("fairseq_metro", "commit")}
        if step.kind != "check":  # seconds, and of the code as it is now: run every time
            append(place.out, row)
        yield row


def check_commands(todo, place):
    """Before anything is started: every variable is set, every program takes its words. UserError."""
    from fairseq_metro.papers.parsing import check_command

    values = variables(place)
    for step in todo:
        if not missing_variables(step, place):
            step.command.filled(values)
            check_command(step.command)


def main(argv=None):
    args = options.reproduce().parse_args(argv)
    target, scale = find_target(args.target), args.scale
    rehearsal = None
    if args.rehearse is not None:
        if scale != "paper":
            raise UserError("--rehearse is of SCALE=paper; at another scale leave it out")
        rehearsal, scale = Scale("tiny", args.rehearse), REHEARSAL
    work = (args.work or ROOT / "runs" / "reproduction" / scale).absolute()
    place = Place(
        work=work, out=(args.out or work / "results.jsonl").absolute(), text=args.text,
        tasks=args.tasks, templates=args.templates, processes=args.processes, blocks=args.blocks,
        small=args.scale == "cpu",
    )  # fmt: skip
    todo = steps_of(target, args.scale, args.seeds, rehearsal)
    if args.variants:
        known = sorted({step.fields["variant"] for step in todo if "variant" in step.fields})
        for name in args.variants:
            if name not in known:
                raise UserError(
                    f"--variants {name}: {args.target} has {', '.join(known) or 'none'}"
                )
        todo = [step for step in todo if step.fields.get("variant") in args.variants]
    if args.only:
        todo = [step for step in todo if step.kind in args.only]
    rows = {row["key"]: row for row in [*adopted(target, place, args), *lines_of(place.out)]
            if row["scale"] == scale}  # fmt: skip
    left = pending(todo, rows, place)
    print(plan(target, args.scale, left, len(todo) - len(left), place,
               None if args.plan or args.report or rehearsal else probed, bool(rehearsal)),
          flush=True)  # fmt: skip
    if args.plan:
        return 0
    # A check takes seconds and leaves no row, so that a report makes it anew.
    left = [step for step in left if step.kind == "check"] if args.report else left
    rows |= {row["key"]: row for row in run(target, scale, left, place)}
    # The same step may be another target's too, which calls it by other fields.
    own_rows = [{**rows[step.key], **step.fields} for step in todo if step.key in rows]
    print(finish(target, scale, own_rows, place))
    return 0


def adopted(target, place, args):
    """Rows of the earlier experiments' files, where a result is all that is asked for: a picture of the
    paper's needs the runs themselves."""
    drawn = "figures" in target.settings and not args.report
    if place.out != MEASURED or args.scale != "cpu" or drawn:
        return []
    return adopted_rows(MEASURED.parent)
