"""The SMASH experiment's report: table, verdict, curves, from the lines of its result files."""

import statistics

from fairseq_metro.common.files import atomic_write
from fairseq_metro.evaluate.fewshot.grid import read_cells
from fairseq_metro.evaluate.fewshot.report import chosen_on_dev, markdown, summarize
from fairseq_metro.papers.smash.figures import main as figure
from fairseq_metro.smash.tasks import load_task

INFORMATIVE = ("SST-2", "Subj")  # where the teacher must be ahead of the student
ABOUT = """The whole of SMASH in small: teacher and student by masked LM on books, news, speeches and
film reviews (`python -m fairseq_metro.papers.smash.study`), the student distilled on
{prompts:,} prompts of each task group made of the same text ({updates:,} updates of 32, equation 2,
cached teacher), then few-shot prompt fine-tuning. RoBERTa's
architecture, {pieces:,} lower-cased pieces. A reduced grid: K = 16, learning
rates {lrs}, batch {batch}, {steps} updates with a look at dev each {every}, and at most {rows} test
rows, drawn once. CB has 16 neutral rows, of which train and dev take eight each.
"""


def write_report(results, curves, about, facts):
    """Write the Markdown beside the file of results, and the curves' picture; return the text.

    about: what :data:`ABOUT` names; facts: dict of model -> words on its size and training.
    """
    cells = list(read_cells(results).values())
    tasks = {name: load_task(name) for name in dict.fromkeys(cell["task"] for cell in cells)}
    for cell in cells:
        cell["model"] = "smash" if cell["model"].startswith("smash") else cell["model"]
    text = ["# SMASH on real text and tasks", "", ABOUT.format(**about)]
    text += [f"- {name}: {words}" for name, words in facts.items()]
    lines = summarize(cells, tasks)
    text += ["", markdown(lines), splits(lines), "", "## Verdict", "", *verdict(cells, tasks)]
    if curves.exists():
        text += ["", *_curves(curves, results)]
    text = "\n".join(text) + "\n"
    with atomic_write(results.with_suffix(".md")) as stream:
        stream.write(text)
    return text


def splits(lines):
    """A sentence with the number of splits behind each row's means."""
    counts = {}
    for line in lines:
        counts.setdefault(f"{line['model']} {line['row']}".strip(), set()).add(line["splits"])
    parts = [
        f"{name} {min(n)}" + (f" to {max(n)}" if len(n) > 1 else "") for name, n in counts.items()
    ]
    return f"Splits, of 5: {', '.join(parts)}."


def by_split(cells, model, row, task):
    """{seed: test metric times 100} of the run of each split that is best on dev."""
    matching = [c for c in cells if (c["model"], c["row"], c["task"]) == (model, row, task)]
    return {
        c["seed"]: 100 * next(iter(c["test"].values()))["value"] for c in chosen_on_dev(matching)
    }


def paired(first, second):
    """Mean difference over the splits of both, and its standard error (None of one split)."""
    differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    if not differences:
        return None
    error = (
        statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
    )
    return statistics.fmean(differences), error


def verdict(cells, tasks):
    """Lines: is the table informative, and does SMASH help."""
    lines, ahead = [], []
    for task in tasks:
        if (title := next(iter(tasks[task].tests))) in INFORMATIVE:
            interval = paired(*(by_split(cells, m, "prompt", task) for m in ("teacher", "student")))
            if interval:
                ahead.append(interval[0] > 0)
                lines.append(
                    f"Teacher minus student, prompt fine-tuning, {title}: {_said(interval)}."
                )
    good = len(ahead) == len(INFORMATIVE) and all(ahead)
    lines.append(
        "The teacher is ahead on both, so the table says something about SMASH."
        if good
        else "The teacher is not ahead on both: **the table is uninformative** about SMASH."
    )
    for row, words in (("prompt", "prompt fine-tuning"), ("zero-shot", "zero-shot")):
        pairs = {
            next(iter(tasks[task].tests)): interval
            for task in tasks
            if (interval := paired(*(by_split(cells, m, row, task) for m in ("smash", "student"))))
        }
        if not pairs:
            continue
        better = [name for name, (mean, _) in pairs.items() if mean > 0]
        clear = [
            f"{name} {_said(pair)}"
            for name, pair in pairs.items()
            if pair[1] and abs(pair[0]) > 2 * pair[1]
        ]
        mean = statistics.fmean(pair[0] for pair in pairs.values())
        lines += [
            "",
            f"SMASH minus student, {words}: {mean:+.1f} on average over {len(pairs)} tasks, above "
            f"on {len(better)} ({', '.join(better) or 'none'}). "
            + "; ".join(f"{name} {_said(pair)}" for name, pair in pairs.items())
            + ". Beyond two standard errors of the paired difference: "
            + (", ".join(clear) or "none")
            + ".",
        ]
    return lines


def _said(pair):
    mean, error = pair
    return f"{mean:+.1f}" + (f" ± {error:.1f}" if error is not None else "")


def _curves(curves, results):
    cells = list(read_cells(curves).values())
    task, splits = cells[0]["task"], len({cell["seed"] for cell in cells})
    words = ["2a", "--results", str(curves), "--task", task, "--out", str(results.parent)]
    figure(words)
    for suffix in (".csv", ".png"):
        (results.parent / f"figure2a{suffix}").rename(results.with_name(f"smash_curves{suffix}"))
    return [
        "## Figure 2's settings on one task",
        "",
        f"`smash_curves.png` and `.csv`: {load_task(task).title}, by distillation updates of 32 "
        "prompts; lines across are models without distillation. As many updates for each setting, "
        f"{splits} splits at one learning rate.",
    ]
