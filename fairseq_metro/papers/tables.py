"""The report of a reproduction: our and the paper's numbers, a plot, a verdict on each claim."""

import contextlib
import csv
import io
import statistics
from pathlib import Path

from fairseq_metro.analysis.figures.command import main as draw_figure
from fairseq_metro.analysis.figures.plotting import COLOURS, new_figure, save_picture, tidy
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write
from fairseq_metro.papers.cells import curves_file, fewshot_file, run_folder, tuned_folder
from fairseq_metro.papers.judging import (
    KINDS,
    WORDS,
    contexts,
    judge,
    label_of,
    original_rows,
    sentence,
    value,
)

ORIGINALS = ("paper", "rehearsal")  # scales at which rows are of commands


def finish(target, scale, rows, place):
    """Write OUT_TARGET_SCALE.md, and a .png where there is something to draw; the Markdown."""
    base = place.out.with_name(f"{place.out.stem}_{target.name}_{scale}")
    lines = [f"# {target.paper}: {target.title}", "", f"SCALE={scale}."]
    if scale == "cpu" and "stands_for" in target.settings:
        words = target.settings["stands_for"]
        lines[-1] += f" {words[0].upper()}{words[1:]}."
    if scale in ORIGINALS and "quoted" in target.settings:
        lines[-1] += f" Not run: {target.settings['quoted']}."
    if scale == "rehearsal":
        lines[-1] += " **A rehearsal: tiny models and few updates, whose numbers mean nothing.**"
    if scale in ORIGINALS:
        judged = [*rows, *original_rows(rows)]
    else:
        judged = rows + _figures(target, rows, place, base)
    lines += ["", "## Verdict", "", *_verdict(target, scale, judged)]
    lines += _ours(target, scale, judged) + _curves(rows) + _paper(target)
    if _draw(target, scale, judged, base.with_suffix(".png")):
        lines += ["", f"`{base.name}.png`: ours, a dot for each seed, and what the paper prints."]
    lines += _pictures(rows, place)
    if "smash" in target.settings and scale == "cpu":
        lines += _smash(target, place, base)
    text = "\n".join(lines) + "\n"
    with atomic_write(base.with_suffix(".md")) as stream:
        stream.write(text)
    return text


def _judged(target, scale, rows):
    """The verdict on each claim; for an original, by size, mixture and cluster."""
    if scale not in ORIGINALS:
        return [judge(claim, rows) for claim in target.claims(scale)]
    judged = []
    for claim in target.claims("paper"):
        groups = contexts(claim, rows) or [("", [])]
        for words, group_rows in groups:
            text = f"{claim['text']} ({words})" if words else claim["text"]
            judged.append(judge({**claim, "text": text}, group_rows))
    return judged


def _verdict(target, scale, rows):
    """A line for each claim, or what a check found."""
    checked = [line for row in rows if row["kind"] == "check" for line in row["result"]["lines"]]
    if checked:
        wrong = [f"{what}: {value}, the paper has {paper}" for what, value, paper in checked
                 if value != paper]  # fmt: skip
        right = f"{len(checked) - len(wrong)} of {len(checked)} agree"
        words = target.settings["said"]
        return [
            f"- {words}: **{'not so' if wrong else 'so'}**, {right}.",
            *(f"- {w}" for w in wrong),
        ]
    lines = [sentence(judged) for judged in _judged(target, scale, rows)]
    if lines:
        return lines
    if "smash" in target.settings:
        return ["- Judged below, in SMASH's own form."]
    return ["- Nothing is finished yet."]


def _curves(rows):
    """The points of an original's figures over checkpoints, a column for each run."""
    lines = []
    for row in rows:
        curves = row["result"].get("curves")
        if not curves:
            continue
        curves = {name: dict(map(tuple, points)) for name, points in curves.items()}
        lines += ["", f"## {WORDS[row['outcome']]}, by pretraining updates", ""]
        lines += [f"| updates | {' | '.join(curves)} |", "|---" * (1 + len(curves)) + "|"]
        for update in sorted({update for points in curves.values() for update in points}):
            cells = [f"{of[update]:.4f}" if update in of else "" for of in curves.values()]
            lines.append(f"| {update:,} | {' | '.join(cells)} |")
    return lines


def _pictures(rows, place):
    """The figures and tables that commands of an original wrote."""
    written = [row["picture"].replace("$WORK/", "") for row in rows if row.get("picture")]
    return (
        ["", f"In {place.work.name}/: {', '.join(f'`{name}`' for name in written)}."]
        if written
        else []
    )


def _ours(target, scale, rows):
    """A line for each group of seeds, a column for each outcome that a claim is judged by."""
    claims = target.claims("paper" if scale in ORIGINALS else scale)
    outcomes = list(dict.fromkeys(claim["outcome"] for claim in claims))
    table = {}
    for row in rows:
        for outcome in outcomes:
            if KINDS[outcome] == row["kind"] and (measured := value(outcome, row)) is not None:
                table.setdefault(label_of(row), {}).setdefault(outcome, []).append(measured)
    if not table:
        return []
    lines = ["", "## Ours", "", "| model | seeds | " + " | ".join(WORDS[o] for o in outcomes) + " |",
             "|---" * (2 + len(outcomes)) + "|"]  # fmt: skip
    for label, values in table.items():
        cells = [_mean(values.get(outcome)) for outcome in outcomes]
        seeds = max(map(len, values.values()))
        lines.append(f"| {label} | {seeds} | {' | '.join(cells)} |")
    return lines


def _mean(values):
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread}"


def _paper(target):
    columns, rows = target.published()
    if not rows:
        return []
    lines = ["", "## The paper's", "", "| | " + " | ".join(columns) + " |",
             "|---" * (1 + len(columns)) + "|"]  # fmt: skip
    for name, values in rows.items():
        lines.append(f"| {name} | {' | '.join('' if v is None else f'{v:g}' for v in values)} |")
    if note := (target.settings.get("published") or {}).get("note"):
        lines += ["", note]
    return lines


def _draw(target, scale, rows, path):
    """Ours by claim at the left, the paper's last column at the right; whether anything was drawn."""
    judged = [claim for claim in _judged(target, scale, rows) if claim.difference is not None]
    columns, published = target.published()
    if not judged:
        return False
    figure = new_figure(9 if published else 8, 0.9 + 0.75 * max(len(judged), 3))
    axes = figure.subplots(1, 2 if published else 1, squeeze=False)[0]
    for place, claim in enumerate(judged):
        groups = (("the first it names", claim.first), ("the second", claim.second))
        for colour, (label, values) in zip(COLOURS, groups, strict=False):
            numbers = [claim.scale * each for each in values.values()]
            label = None if place else label
            axes[0].plot(
                numbers, [place] * len(numbers), "o", color=colour, markersize=6, label=label
            )
            axes[0].plot(statistics.fmean(numbers), place, "|", color=colour, markersize=16)
    axes[0].set_yticks(
        range(len(judged)), [f"{claim.text}\n{claim.verdict}" for claim in judged], fontsize=7
    )
    axes[0].invert_yaxis()
    axes[0].margins(y=0.3)
    axes[0].legend(fontsize=7, frameon=False, loc="best")
    tidy(axes[0], " / ".join(dict.fromkeys(WORDS[claim.outcome] for claim in judged)), "", "ours")
    if published:
        values = [(name, row[-1]) for name, row in published.items() if row[-1] is not None]
        axes[1].barh(
            [name for name, _ in values], [number for _, number in values], color="#b8c4d0"
        )
        axes[1].invert_yaxis()
        axes[1].tick_params(labelsize=7)
        tidy(axes[1], columns[-1], "", "the paper's")
    save_picture(figure, path)
    return True


def _figures(target, rows, place, base):
    """Draw the paper's figures for our runs; rows of what their csv says, for the claims."""
    lines = []
    for name in target.settings.get("figures", ()):
        out = base.with_name(f"{base.name}_{name}.png")
        try:
            words = _figure_words(name, rows, place)
            with contextlib.redirect_stdout(io.StringIO()):
                draw_figure([name, *map(str, words), "--out", str(out)])
        except UserError as error:
            print(f"figure {name}: not drawn, {error}", flush=True)
            continue
        if name in ("neurons", "sensitivity"):
            lines += _of_csv(name, out.with_suffix(".csv"), rows)
    return lines


def _figure_words(name, rows, place):
    tuned = {row["variant"]: row for row in rows if row["kind"] == "finetune"}
    if name in ("templates", "task-bars"):
        return [f"{name}={_scores(tuned_folder(row, place))}" for name, row in tuned.items()]
    runs = {row["variant"]: run_folder(row, place) for row in rows if row["kind"] == "pretrain"}
    if name in ("neurons", "sensitivity"):
        if "metro" not in tuned:
            raise UserError("METRO-T5 is not fine-tuned yet")
        data = tuned_folder(tuned["metro"], place) / "data"
        return [*(f"{v}={run}" for v, run in runs.items()), "--data", data, "--batches", 10,
                "--device", "cpu"]  # fmt: skip
    return [
        run
        for variant, run in runs.items()
        if variant in (("metro", "span") if name == "rtd-recall" else runs.keys() - {"span"})
    ]


def _scores(folder):
    """The held-in scores after the last update of a fine-tuning."""
    files = list((folder / "checkpoints" / "scores").glob("valid_*.json"))
    if not files:
        raise UserError(f"{folder}: no scores of a fine-tuning in it")
    return max(files, key=lambda path: int(path.stem.split("_")[1]))


def _of_csv(name, path, rows):
    """Of each run's last point: a row for the claims."""
    with open(path, encoding="utf-8") as stream:
        lines = [entry for entry in csv.DictReader(stream) if entry.get("stack", "all") == "all"]
    last = {entry["run"]: entry for entry in lines}
    values = []
    for row in rows:
        if row["kind"] == "pretrain" and row["variant"] in last:
            entry = last[row["variant"]]
            number = float(entry["share"] if name == "neurons" else entry["std"])
            values.append({**row, "kind": "figure", "result": {name: number}})
    return values


def _smash(target, place, base):
    """SMASH's own table or figures for our few-shot runs, and its verdict."""
    from fairseq_metro.evaluate.fewshot.grid import read_cells
    from fairseq_metro.papers.smash.fewshot import standing_in
    from fairseq_metro.papers.smash.figures import main as smash_figure
    from fairseq_metro.papers.smash.report import verdict
    from fairseq_metro.papers.smash.tables import main as smash_table
    from fairseq_metro.smash.tasks import load_task, task_names

    settings = target.settings["smash"]
    path = (curves_file if target.settings_at("cpu").get("ablation") else fewshot_file)(place)
    if not path.exists():
        return ["", "No few-shot run is finished yet."]
    out = base.parent / base.name
    # Models are told by names that hold from the folder they were trained in; without one, from here.
    folder = place.work / "smash" if (place.work / "smash").is_dir() else Path.cwd()
    with standing_in(folder), contextlib.redirect_stdout(io.StringIO()):
        if "table" in settings:
            smash_table([settings["table"], "--results", str(path), "--out", str(out)])
        for number in settings.get("figure", ()):
            try:
                smash_figure([number, "--results", str(path), "--out", str(out)])
            except UserError as error:
                return ["", f"Figure {number} is not drawn yet: {error}."]
    cells = [{**cell, "model": "smash" if cell["model"].startswith("smash") else cell["model"]}
             for cell in read_cells(path).values() if cell["task"] in task_names()]  # fmt: skip
    tasks = {cell["task"]: load_task(cell["task"]) for cell in cells if cell["k"] == 16}
    lines = verdict(cells, tasks)
    if not any(cell["model"] == "teacher" for cell in cells):
        unknown = "No teacher was run: whether the scale says anything is not known."
        lines = [unknown if "uninformative" in line else line for line in lines]
    return ["", f"Table and pictures: `{base.name}/`.", "", *lines]
