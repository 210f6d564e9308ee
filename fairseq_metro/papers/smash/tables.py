"""``fairseq-metro smash-table N``: a table of the SMASH paper, ours and theirs line by line.

Tables 1 (fine-tuning beside prompts), 2 (main results) and 3 (T5). Ours are finished runs of
fairseq-metro fewshot; a model's role is known by its folder's name (student, smash*, middle,
teacher), or by ``--role``. Writes OUT/tableN.md, .csv and .png.
"""

import logging

from fairseq_metro.analysis.figures.plotting import (
    colours_of,
    new_figure,
    save_picture,
    tidy,
    write_csv,
)
from fairseq_metro.common.files import atomic_write
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.evaluate.fewshot.cells import OTHER_FORM_OF
from fairseq_metro.papers.smash import options
from fairseq_metro.papers.smash.options import ROLES
from fairseq_metro.papers.smash.published import paper_values, published
from fairseq_metro.papers.smash.reading import (
    VARIANT,
    of_role,
    parse_patterns,
    read_scores,
    single_score,
)
from fairseq_metro.smash.tasks import load_task, task_names

OURS, PAPER = SOURCES = "ours", "paper"


@messages_on_stderr(logging.WARNING)
def main(argv=None):
    args = options.table().parse_args(argv)
    scores = read_scores(args.results) if args.results else []
    lines = table_lines(args.number, scores, parse_patterns(args.role, ROLES), args.k)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"table{args.number}.md"
    text = markdown(args.number, lines)
    with atomic_write(path) as stream:
        stream.write(text)
    write_csv(path.with_suffix(".csv"), lines)
    save_picture(draw(args.number, lines), path.with_suffix(".png"))
    print(text, end="")
    print(f"written: {path}, {path.stem}.csv, {path.stem}.png")
    return 0


def table_lines(number, scores, roles, k=16):
    """A line for each number there is: dicts of row, test, source, mean, std, splits, rows, sampled.

    scores: of :func:`reading.read_scores`; roles: {name: patterns}. Tests that the paper has not
    come after its own. std, splits and the rest are empty where they are not reported.
    """
    entry, paper = published("tables", number), paper_values(number)
    scores = [score for score in scores if score.k == k and not VARIANT.fullmatch(score.task)]
    scores_of, rows = {}, rows_of(number)
    for row in rows:
        role_scores = of_role(scores, roles[row["role"]] if row["role"] else [""], row["row"])
        for test in {score.test for score in role_scores}:
            what = f"{row['name']} on {test}"
            scores_of[row["name"], test] = single_score(
                [s for s in role_scores if s.test == test], what
            )
    here = {test for _, test in scores_of}
    others = [title for title in _titles() if title in here and title not in entry["tests"]]
    lines = []
    for row in rows:
        for test in [*entry["tests"], *others]:
            if (score := scores_of.get((row["name"], test))) and score.mean is not None:
                lines.append(_line(row["name"], test, OURS, score.mean, score.std, score))
            if (row["name"], test) in paper:
                lines.append(_line(row["name"], test, PAPER, *paper[row["name"], test]))
    return lines


def rows_of(number):
    """The paper's rows (dicts), each before the one of ours that is measured in another form."""
    rows = []
    for row in published("tables", number)["rows"]:
        rows.append(row)
        if other := OTHER_FORM_OF.get(row["row"]):
            name = other if row["role"] is None else f"{row['name']}, {other}"
            rows.append({**row, "name": name, "row": other})
    return rows


def _titles():
    return [title for name in task_names() for title in load_task(name).tests]


def _line(row, test, source, mean, std, score=None):
    return {
        "row": row, "test": test, "source": source, "mean": mean,
        "std": "" if std is None else std, "splits": score.splits if score else "",
        "test_rows": score.rows if score else "", "sampled": int(score.sampled) if score else "",
    }  # fmt: skip


def _grid(number, lines):
    """{(row, source): {test: line}}, and the tests: the paper's in its order, then others."""
    cells, tests = {}, dict.fromkeys(published("tables", number)["tests"])
    for line in lines:
        cells.setdefault((line["row"], line["source"]), {})[line["test"]] = line
        tests[line["test"]] = None
    return cells, list(tests)


def _names(number, lines):
    """Names of the rows: the paper's, and of ours those that have lines."""
    paper = {row["name"] for row in published("tables", number)["rows"]}
    there = {line["row"] for line in lines}
    return [row["name"] for row in rows_of(number) if row["name"] in paper | there]


def markdown(number, lines):
    """The table in Markdown: for each row a line of ours and one of the paper's."""
    entry, (cells, tests) = published("tables", number), _grid(number, lines)
    rows = _names(number, lines)
    text = [f"# Table {number}: {entry['title']}", "", "Mean (standard deviation) over splits.", ""]
    text += ["| | | " + " | ".join(tests) + " |", "|" + "---|" * (2 + len(tests))]
    paper = [row["name"] for row in entry["rows"]]
    for name in rows:
        for source in SOURCES:
            if (name, source) in cells:
                shown = [_shown(cells[name, source].get(test)) for test in tests]
                text.append(f"| {name} | {source} | " + " | ".join(shown) + " |")
        if entry.get("differences") and name in paper[1::2]:
            for source in SOURCES:
                text += _difference(cells, paper[paper.index(name) - 1], name, source, tests)
    if not any(line["source"] == OURS for line in lines):
        text += ["", "Of ours there is nothing yet: give --results."]
    sampled = sorted({line["test"] for line in lines if line["sampled"] == 1})
    if sampled:
        text += ["", f"Ours on a part of the test rows: {', '.join(sampled)}."]
    return "\n".join(text) + "\n"


def _shown(line):
    if line is None:
        return ""
    return f"{line['mean']:.1f}" + (f" ({line['std']:.1f})" if line["std"] != "" else "")


def _difference(cells, first, second, source, tests):
    first_values, second_values = cells.get((first, source), {}), cells.get((second, source), {})
    shown = [
        f"{first_values[test]['mean'] - second_values[test]['mean']:.1f}"
        if test in first_values and test in second_values
        else ""
        for test in tests
    ]
    name = f"{first.rsplit(' ', 1)[0]} PT - FT"
    return [f"| {name} | {source} | " + " | ".join(shown) + " |"] if any(shown) else []


def draw(number, lines):
    """The picture: ours above, the paper's below, a colour for each row; only what there is."""
    entry, (cells, tests) = published("tables", number), _grid(number, lines)
    sources = [source for source in SOURCES if any(key[1] == source for key in cells)]
    figure = new_figure(2.5 + 0.75 * len(tests), 0.8 + 3.0 * len(sources))
    rows = _names(number, lines)
    colours = colours_of(rows)
    axes = figure.subplots(len(sources), 1, squeeze=False)[:, 0]
    for axis, source in zip(axes, sources, strict=True):
        for place, name in enumerate(rows):
            values = cells.get((name, source), {})
            shown = [test for test in tests if test in values]
            x = [tests.index(test) + 0.7 * ((place + 0.5) / len(rows) - 0.5) for test in shown]
            axis.errorbar(
                x, [values[test]["mean"] for test in shown],
                [values[test]["std"] or 0 for test in shown], fmt="o" if place < 8 else "s",
                markersize=4.5, color=colours[name], linewidth=1, label=name,
            )  # fmt: skip
        axis.set_xticks(range(len(tests)), tests, fontsize=8.5)
        axis.set_xlim(-0.6, len(tests) - 0.4)
        tidy(axis, "", "metric x 100", source)
    figure.suptitle(f"Table {number}: {entry['title']}", fontsize=12)
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
    return figure
