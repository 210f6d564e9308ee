"""``fairseq-metro smash-figure N``: a figure of the SMASH paper from finished few-shot runs."""

import logging

from fairseq_metro.analysis.figures.plotting import save_picture, write_csv
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.evaluate.fewshot.cells import PROMPT
from fairseq_metro.papers.smash import options
from fairseq_metro.papers.smash.drawing import draw
from fairseq_metro.papers.smash.options import ROLES
from fairseq_metro.papers.smash.published import paper_values, published
from fairseq_metro.papers.smash.reading import (
    VARIANT,
    of_role,
    parse_patterns,
    read_scores,
    single_score,
)

OURS, PAPER = "ours", "paper"


@messages_on_stderr(logging.WARNING)
def main(argv=None):
    args = options.figure().parse_args(argv)
    scores = [score for score in read_scores(args.results) if score.row == PROMPT]
    rows = POINTS[args.number](args, scores)
    if not any(row["source"] == OURS for row in rows):
        raise UserError(
            f"{', '.join(args.results)}: no run that belongs into figure {args.number}; see "
            "fairseq-metro smash-figure --help on tasks and names of runs"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"figure{args.number}.csv"
    write_csv(path, rows)
    save_picture(draw(args.number, rows), path.with_suffix(".png"))
    missing = missing_series(args.number, rows)
    if missing:
        print(f"of ours there is nothing of {', '.join(missing)}")
    print(f"the paper: {published('figures', args.number)['said']}")
    print(f"written: {path}, {path.stem}.png")
    return 0


def missing_series(number, rows):
    """Series of the paper's figure that ours lacks: list of names."""
    series = published("figures", number)["series"]
    names = [entry["name"] if isinstance(entry, dict) else entry for entry in series]
    there = {row["series"] for row in rows if row["source"] == OURS}
    return [name for name in names if name not in there]


def point(panel, series, source, x, mean, std, splits=""):
    """A row of the csv. x: text for figure 3, else a number, empty for a line across."""
    return {
        "panel": panel, "series": series, "source": source, "x": x, "mean": float(mean),
        "std": float(std or 0.0), "splits": splits,
    }  # fmt: skip


def _ours(panel, series, x, score):
    return point(panel, series, OURS, x, score.mean, score.std, score.splits)


def settings_points(args, scores):
    """Figure 2: points of each setting by updates; the models without distillation as lines."""
    entry = published("figures", args.number)
    task = args.task or entry["task"]
    scores = [score for score in scores if score.task == task and score.k == args.k]
    test = scores[0].test if scores else task
    scores = [score for score in scores if score.test == test]
    patterns = {
        setting["name"]: f"smash-{setting['name']}-*/checkpoint_*_*.pt"
        for setting in entry["series"]
    }
    rows = []
    for name, patterns_of in parse_patterns(args.series, patterns).items():
        by_updates = {}
        for score in of_role(scores, patterns_of):
            if score.updates is not None:
                by_updates.setdefault(score.updates, []).append(score)
        for updates, same in sorted(by_updates.items()):
            rows.append(
                _ours(test, name, updates, single_score(same, f"{name}, {updates} updates,"))
            )
    roles = parse_patterns(args.role, ROLES)
    for role in entry["lines"]:
        score = single_score(of_role(scores, roles[role]), f"{role} on {test}")
        if score:
            rows.append(_ours(test, role, "", score))
    paper = f"{entry['title'].rsplit(', ', 1)[1]}, paper"
    for setting in entry["series"]:
        rows += [point(paper, setting["name"], PAPER, x, *v) for x, v in setting["points"].items()]
    rows += [point(paper, r, PAPER, "", mean, None) for r, (_, mean) in entry["lines"].items()]
    return rows


def variant_points(args, scores):
    """Figure 3: by template and label words; "manual" is the task as it is."""
    roles = parse_patterns(args.role, ROLES)
    scores = [score for score in scores if score.k == args.k]
    points = {}
    for score in scores:
        if (parts := VARIANT.fullmatch(score.task)) and args.task in (None, parts[1]):
            points.setdefault((parts[1], parts[2]), set()).add((int(parts[3]), score.task))
    rows = []
    for (task, kind), numbered in sorted(points.items()):
        for role in published("figures", "3")["series"]:
            for x, name in [("manual", task), *((str(n), name) for n, name in sorted(numbered))]:
                same = of_role([score for score in scores if score.task == name], roles[role])
                for test in sorted({score.test for score in same}):
                    score = single_score([s for s in same if s.test == test], f"{role} on {name}")
                    # MNLI has two tests, a panel each.
                    panel = task if len({s.test for s in same}) == 1 else f"{task}, {test}"
                    rows.append(_ours(f"{panel}: {kind}s", role, x, score))
    return rows


def examples_points(args, scores):
    """Figure 4: by K; the paper's points at K = 16 are those of its table 2."""
    entry, roles = published("figures", "4"), parse_patterns(args.role, ROLES)
    paper = paper_values(entry["points_from_table"])
    names_of = {"student": "dR-b", "middle": "RoBERTa-base", "smash": "SMASH"}
    scores = [score for score in scores if args.task in (None, score.task)]
    scores = [score for score in scores if not VARIANT.fullmatch(score.task)]
    rows = []
    for test in sorted({score.test for score in scores}):
        for role in entry["series"]:
            role_scores = of_role([score for score in scores if score.test == test], roles[role])
            for k in sorted({score.k for score in role_scores}):
                score = single_score(
                    [s for s in role_scores if s.k == k], f"{role} on {test}, K = {k},"
                )
                rows.append(_ours(test, role, k, score))
            if (names_of[role], test) in paper:
                rows.append(point(test, role, PAPER, 16, *paper[names_of[role], test]))
    return rows


POINTS = {
    "2a": settings_points, "2b": settings_points, "3": variant_points, "4": examples_points,
}  # fmt: skip
