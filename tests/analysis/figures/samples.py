"""Runs, results and the figure command, as the tests of all figures use them."""

import argparse
import csv
import json

from fairseq_metro.analysis.figures.command import find_figure, main
from tests.analysis.fairseq_logs import CONFIG, write_log

PNG = b"\x89PNG\r\n\x1a\n"


def figure(name, out, *words):
    """Run ``fairseq-metro figure``; the csv's rows as dicts of text. The picture must be one."""
    assert main([name, *map(str, words), "--out", str(out)]) == 0
    picture = out.read_bytes()
    assert picture.startswith(PNG) and len(picture) > 5000
    with open(out.with_suffix(".csv"), newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    for row in rows:
        assert "nan" not in [value.lower() for value in row.values()]
    return rows


def drawn(name, *words):
    """(rows, matplotlib figure) of the command's own ``collect`` and ``draw``, nothing written."""
    module, parser = find_figure(name), argparse.ArgumentParser()
    module.add_arguments(parser)
    args = parser.parse_args([*map(str, words)])
    rows = module.collect(args)
    return rows, module.draw(rows, args)


def lines(axis, colour=None):
    """The points (x, y) of each line of an axis, of one colour or of all: list of lists."""
    return [
        list(zip(*(map(float, line.get_data()[i]) for i in (0, 1)), strict=True))
        for line in axis.get_lines()
        if colour is None or line.get_color() == colour
    ]


def legend_of(holder):
    """The texts of the legend of a figure or an axis."""
    legend = holder.get_legend() if hasattr(holder, "get_legend") else holder.legends[0]
    return [text.get_text() for text in legend.get_texts()]


def log_of(folder, metrics, options="", **changes):
    """A run's folder with a train.log; options: of the printed config, as ``'rtd_on': decoder``."""
    folder.mkdir(parents=True)
    config = CONFIG.replace("'cpu': False}", f"'cpu': False}}, 'model': {{{options}}}")
    with open(folder / "train.log", "w") as stream:
        write_log(stream, metrics=metrics, config=config, **changes)
    return folder


def results(folder, values):
    """An output folder of the evaluation runner; values: {set: {template: accuracy}}."""
    (folder / "results").mkdir(parents=True)
    for name, templates in values.items():
        for template, value in templates.items():
            run = f"{name}_{template}".replace("/", "_").replace(" ", "_")
            told = {"format": 1, "run": run, "suite": "t0_eval", "set": name, "label": name.upper(),
                    "template": template, "kind": "rank", "rows": 50, "examples": 50,
                    "value": value}  # fmt: skip
            (folder / "results" / f"{run}.json").write_text(json.dumps(told))
    return folder
