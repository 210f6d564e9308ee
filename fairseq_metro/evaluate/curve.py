"""``--checkpoints``: every checkpoint of a run evaluated, and what they make: a curve."""

from fairseq_metro.common.files import atomic_write, write_json
from fairseq_metro.evaluate.model_source import checkpoints_of
from fairseq_metro.evaluate.pictures import draw_curve
from fairseq_metro.evaluate.report import markdown_table
from fairseq_metro.evaluate.results import file_name


def evaluate_checkpoints(run, out, evaluate):
    """Evaluate each checkpoint into ``OUT/<its name>``; write curve.json, curve.md, pictures.

    evaluate: function (checkpoint, folder) -> its summary, None in all processes but the first.
    Raises :class:`UserError` for a folder without checkpoints.
    """
    points = []
    for updates, path in checkpoints_of(run):
        summary = evaluate(path, out / file_name(path.stem))
        if summary is not None:
            points.append({"updates": updates, "checkpoint": path.name, "summary": summary})
    if points:
        write_curve(out, run, points)


def write_curve(out, run, curve):
    """Write the curve's files. curve: dicts of updates, checkpoint and summary, in their order."""
    points = [
        {"updates": entry["updates"], "checkpoint": entry["checkpoint"], "suites": {
            suite["name"]: {"mean": suite["mean"], "se": suite["se"],
                            "sets": {each["label"]: each["mean"] for each in suite["sets"]}}
            for suite in entry["summary"]["suites"]
        }}
        for entry in curve
    ]  # fmt: skip
    write_json(out / "curve.json", points)
    lines = [f"# Evaluation of every checkpoint of {run}"]
    for suite in curve[0]["summary"]["suites"]:
        name = suite["name"]
        own = [(point["updates"], point["suites"][name]) for point in points]
        if all(values["mean"] is not None for _, values in own):
            draw_curve([(x, v["sets"], v["mean"], v["se"]) for x, v in own],
                       out / f"{file_name(name)}_curve.png", suite["title"], "updates")  # fmt: skip
            picture = ["", f"![{suite['title']}]({file_name(name)}_curve.png)"]
        else:
            picture = []
        lines += ["", f"## {suite['title']}", "", *_table(own), *picture]
    with atomic_write(out / "curve.md") as stream:
        stream.write("\n".join(lines) + "\n")


def _table(own):
    labels = list(dict.fromkeys(label for _, values in own for label in values["sets"]))
    rows = [
        [f"{updates:,}", *(_percent(values["sets"].get(label)) for label in labels),
         _percent(values["mean"]), _percent(values["se"], "")]
        for updates, values in own
    ]  # fmt: skip
    return markdown_table(["updates", *labels, "mean", "SE"], rows)


def _percent(value, unit=" %"):
    return "" if value is None else f"{100 * value:.2f}{unit}"
