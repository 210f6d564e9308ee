"""``report.md``: the summary as tables and sentences, for a person."""

from fairseq_metro.evaluate.ranking import SUM
from fairseq_metro.evaluate.results import file_name
from fairseq_metro.vocabulary.characters import Characters

_HOW = {
    "sum": "sum of the log-probabilities of a choice's tokens, the end included",
    "mean": "mean log-probability of a choice's tokens, the end included",
    "byte_mean": "log-probability of a choice divided by its number of bytes",
    "contextual": "log-probability less that under content-free inputs",
    "pmi": "log-probability less that after the premise alone",
}


def picture_name(suite):
    """File name of a suite's picture."""
    return f"{file_name(suite['name'])}.png"


def report(summary):
    """The text of ``report.md``; summary: of summary.summarize."""
    settings = summary["settings"]
    parts = [f"# Evaluation of {settings['model']['name']}", "", *_settings(settings)]
    for suite in summary["suites"]:
        parts += ["", *_suite(suite, settings)]
    return "\n".join(parts) + "\n"


def headline(suite):
    """One sentence: the mean over sets, its error, and whether it is above guessing."""
    if suite["mean"] is None:
        return f"{suite['title']}: no examples."
    sets = f"{suite['sets_done']} set{'s' * (suite['sets_done'] != 1)}"
    of = "" if suite["complete"] else " (NOT the whole suite)"
    if suite["sets_done"] < suite["sets_of"]:
        of = f" (NOT the whole suite: {suite['sets_of']} sets)"
    text = f"{suite['title']}: {_percent(suite['mean'])} on average over {sets}{of}"
    if suite["se"] is not None:
        text += f", standard error {100 * suite['se']:.2f}"
    if suite["guess"] is not None and suite["se"] is not None:
        clear = suite["mean"] - suite["guess"] > 2 * suite["se"]
        text += (
            f"; {'above' if clear else 'NOT clearly above'} guessing ({_percent(suite['guess'])})"
        )
    return text + "."


def by_reason(suite):
    """{why: names} of a suite's sets that were left out; those of one file have one reason."""
    reasons = {}
    for name, why in suite["left_out"].items():
        reasons.setdefault(why, []).append(name)
    return reasons


def _settings(settings):
    lines = [f"- model: `{settings['model']['path']}`, sha256 {settings['model']['sha256'][:16]}"]
    lines.append(f"- score: {_HOW[settings['rank_by']]}; first of equal ones")
    lines.append(f"- {settings['shots'] or 'no'} exemplars in an input; {settings['dtype']}")
    if settings["passages"]:
        lines.append(f"- at most {settings['most_passages']} passages behind an input")
    if settings["limit"]:
        lines.append(f"- **at most {settings['limit']} rows of a set: not comparable with others**")
    if settings.get("max_bad_rows"):
        lines.append(
            f"- **bad rows are left out (--max-bad-rows {settings['max_bad_rows']}): where a template "
            "has fewer examples for it, not comparable with others**"
        )
    lines.append(f"- made by fairseq_metro {settings['stamp']['fairseq_metro']}, "
                 f"commit {settings['stamp']['commit']}")  # fmt: skip
    return lines


def _suite(suite, settings):
    lines = [f"## {suite['title']}", "", headline(suite), ""]
    if suite["sets"]:
        lines += [
            *_table(suite),
            "",
            *_notes(settings),
            "",
            f"![{suite['title']}]({picture_name(suite)})",
        ]
    if suite["published"]:
        lines += ["", *suite["published"]]
    if suite["left_out"]:
        lines += ["", "Left out:", ""]
        lines += [f"- {', '.join(names)}: {why}" for why, names in by_reason(suite).items()]
    lines += _unknown_characters(suite)
    for entry in suite["sets"]:
        lines += ["", *_templates(entry)]
    return lines


def characters_of(suite):
    """{label: Characters of its inputs} of a suite's sets where they were counted."""
    counts = {entry["label"]: entry["characters"] for entry in suite["sets"]}
    return {label: Characters(**count) for label, count in counts.items() if count}


def _unknown_characters(suite):
    """Lines about what the vocabulary cannot write of the sets' inputs: list."""
    counts = characters_of(suite)
    lines = [f"- {each.sentence(label)}" for label, each in counts.items() if each.unknown]
    if counts and not lines:
        lines = ["- All characters of the inputs are in the vocabulary."]
    return ["", "Inputs:", "", *lines] if lines else []


def _table(suite):
    head = ["set", "rows", "templates", "chance", "commonest (own rows)", "mean", "SE", "median",
            "quartiles", "std", "range"]  # fmt: skip
    rows = [_set_row(entry) for entry in suite["sets"]]
    rows.append(["**all**", "", str(sum(entry["runs"] for entry in suite["sets"])),
                 _percent(suite["chance"]), "", f"**{_percent(suite['mean'])}**",
                 _points(suite["se"]), _percent(suite["median"]), "", "", ""])  # fmt: skip
    return markdown_table(head, rows)


def _set_row(entry):
    name = entry["label"] if entry["main"] == "accuracy" else f"{entry['label']} ({entry['main']})"
    return [
        name, str(entry["rows"]), str(entry["runs"]), _percent(entry["chance"]),
        _percent(entry["commonest"]), _percent(entry["mean"]), _points(entry["se"]),
        _percent(entry["median"]), f"{_percent(entry['q1'])} to {_percent(entry['q3'])}",
        _points(entry["std"]), f"{_percent(entry['min'])} to {_percent(entry['max'])}",
    ]  # fmt: skip


def _notes(settings):
    notes = (
        "Mean, median, quartiles, std and range are over a set's templates, std in points. SE: "
        "standard error over rows, of the mean over templates, in points. commonest (own rows): the "
        "accuracy of the place that is right most often among these very rows, since no training "
        "set is read here; guessing: the larger of chance and commonest, set by set."
    )
    if settings["rank_by"] != SUM or settings["shots"]:
        notes += " Published numbers are of plain sums and no exemplars."
    return [notes]


def _templates(entry):
    lines = [f"### {entry['label']}", ""]
    rows = []
    for each in entry["templates"]:
        dropped = ", ".join(f"{count} {reason}" for reason, count in each["dropped"].items())
        rows.append([each["template"] or "(ready-made)", str(each["examples"]),
                     _percent(each["value"]), _points(each["se"]), dropped])  # fmt: skip
    lines += markdown_table(["template", "examples", entry["main"], "SE", "left out"], rows)
    if entry["groups"]:
        lines += ["", f"Over all rows alike: {_percent(entry['micro'])}. By group:", ""]
        lines += markdown_table(
            ["group", "accuracy"], [[name, _percent(v)] for name, v in entry["groups"].items()]
        )
    return lines


def markdown_table(head, rows):
    """A Markdown table: list of lines; head: list of str, rows: lists of str.

    >>> markdown_table(["a", "b"], [["x|y", "1"]])
    ['| a | b |', '|---|---|', '| x\\\\|y | 1 |']
    """
    lines = [head, *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    texts = [f"| {' | '.join(line)} |" for line in cells]
    return [texts[0], "|" + "---|" * len(head), *texts[1:]]


def _percent(value):
    return "" if value is None else f"{100 * value:.2f} %"


def _points(value):
    return "" if value is None else f"{100 * value:.2f}"
