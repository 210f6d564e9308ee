"""The table: mean and population standard deviation over splits, of each split's best on dev."""

import csv
import os
from pathlib import Path

import numpy as np

from fairseq_metro.common.files import atomic_write
from fairseq_metro.evaluate.fewshot.cells import OTHER_FORM_OF, ROWS

ORDER = [name for row in ROWS for name in (row, OTHER_FORM_OF.get(row)) if name]
FIELDS = "model row k task test metric mean std splits runs test_rows sampled".split()


def chosen_on_dev(results):
    """Of each split's runs the one with the best dev metric, the first of equals: list of dicts.

    results: cells of one row, model, task and K, the grid in its order.
    """
    best = {}
    for result in results:
        kept = best.get(result["seed"])
        if kept is None or max(result.get("dev", [0])) > max(kept.get("dev", [0])):
            best[result["seed"]] = result
    return list(best.values())


def summarize(results, tasks):
    """Lines of the table: list of dicts with FIELDS; mean and std are times 100, or None.

    results: finished cells; tasks: {name: FewshotTask}.
    """
    groups = {}
    for result in results:
        # The prompts of a split have files of their own, all called after the task and their place.
        key = (result["model"], result["row"], result["k"], Path(result["task"]).stem)
        groups.setdefault(key, []).append(result)
    lines = []
    for (model, row, k, task), group in groups.items():
        chosen, name = chosen_on_dev(group), group[0]["task"]
        for title in tasks[name].tests:
            tests = [result["test"][title] for result in chosen]
            values = [test["value"] for test in tests]
            known = None not in values
            lines.append({
                "model": model, "row": row, "k": k, "task": task, "test": title,
                "metric": tasks[name].metric,
                "mean": 100 * float(np.mean(values)) if known else None,
                "std": 100 * float(np.std(values)) if known else None,
                "splits": len(chosen), "runs": len(group), "test_rows": tests[0]["rows"],
                "sampled": bool(chosen[0]["test_rows"] == tests[0]["rows"]),
            })  # fmt: skip
    return sorted(lines, key=lambda line: (line["k"], line["model"], ORDER.index(line["row"])))


def write_tables(lines, out):
    """``table.csv``, a line each, and ``table.md``, a column for each test, in a folder."""
    out = Path(out)
    with atomic_write(out / "table.csv", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    with atomic_write(out / "table.md") as stream:
        stream.write(markdown(lines))


def markdown(lines):
    """The table in Markdown: rows are (K, model, row), columns tests; mean (std)."""
    columns = _columns(lines)
    tests = list(dict.fromkeys(columns.values()))
    sampled = {columns[line["task"], line["test"]]: line["test_rows"]
               for line in lines if line["sampled"]}  # fmt: skip
    cells = {}
    for line in lines:
        row = (line["k"], _short(line["model"]), line["row"])
        cells.setdefault(row, {})[columns[line["task"], line["test"]]] = _shown(line)
    titles = [f"{test}*" if test in sampled else test for test in tests]
    text = [
        "Means (population standard deviations) over splits, times 100; per split the grid point "
        "and the checkpoint that are best on dev.",
        "",
        "| " + " | ".join(["K", "model", "row", *titles]) + " |",
        "|" + "---|" * (3 + len(tests)),
    ]
    for (k, model, row), values in cells.items():
        shown = [str(k), model, row, *(values.get(test, "") for test in tests)]
        text.append("| " + " | ".join(shown) + " |")
    if sampled:
        rows = ", ".join(f"{test} {count}" for test, count in sampled.items())
        text += ["", f"\\* a seeded sample of the test rows: {rows}."]
    return "\n".join(text) + "\n"


def _columns(lines):
    """{(task, test): title of its column}; a test that several tasks share is told by the task."""
    tasks = {}
    for line in lines:
        tasks.setdefault(line["test"], {})[line["task"]] = None
    return {
        (task, test): test if len(sharing) == 1 or i == 0 else f"{test} ({task})"
        for test, sharing in tasks.items() for i, task in enumerate(sharing)
    }  # fmt: skip


def _shown(line):
    if line["mean"] is None:
        return "-"
    return f"{line['mean']:.1f} ({line['std']:.1f})"


def _short(model):
    return os.path.join(*Path(model).parts[-2:]) if model else ""
