"""The tables and figures that are reproduced, from ``targets.yaml``."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.published_rows import published_rows
from fairseq_metro.papers.smash.published import paper_values
from fairseq_metro.prompts.collection import nearest

SCALES = ("cpu", "gpu1", "paper")


@dataclass(frozen=True)
class Target:
    """A table or figure. paper: where it stands; settings: its entry of ``targets.yaml``."""

    name: str
    paper: str
    title: str
    settings: dict

    @property
    def scales(self):
        """The scales at which it can be run."""
        if "all" in self.settings:
            return [scale for scale in SCALES if scale != "gpu1"]
        keys = {"cpu": "cpu", "gpu1": "gpu1", "paper": "paper_scale"}
        return [scale for scale, key in keys.items() if key in self.settings]

    def settings_at(self, scale):
        """The settings at a scale: dict. Raises :class:`UserError` if there are none."""
        if scale not in self.scales:
            why = f"; {self.settings['no_original']}" if "no_original" in self.settings else ""
            raise UserError(f"SCALE={scale}: {self.name} has {', '.join(self.scales)}{why}")
        key = "paper_scale" if scale == "paper" else scale
        return self.settings["all"] if "all" in self.settings else self.settings[key]

    def claims(self, scale):
        """The claims of the paper that are judged at a scale: list of dicts."""
        if scale == "paper" and "paper_claims" in self.settings:
            return self.settings["paper_claims"]
        return self.settings.get("claims", [])

    def published(self):
        """The paper's numbers: (columns, {row: numbers or None}); nothing where it prints none."""
        entry = self.settings.get("published")
        if "table" in self.settings.get("smash", {}):
            values = paper_values(self.settings["smash"]["table"])
            columns = list(dict.fromkeys(test for _, test in values))
            rows = dict.fromkeys(row for row, _ in values)
            return columns, {
                row: [values.get((row, test), (None,))[0] for test in columns] for row in rows
            }
        if entry is None:
            return [], {}
        if "from" not in entry:
            return entry["columns"], entry["rows"]
        key = entry.get("only", "")
        beginnings = tuple(key) if isinstance(key, list) else key
        rows = {
            name: row for name, row in published_rows().items()
            if row["suite"] == entry["from"] and name.startswith(beginnings)
        }  # fmt: skip
        columns = list(next(iter(rows.values()))["values"])
        mean = ["mean"] if any(row["mean"] for row in rows.values()) else []
        return [*columns, *mean], {
            row["model"]: [*row["values"].values(), *([row["mean"]] if mean else [])]
            for row in rows.values()
        }


@cache
def _read():
    text = files("fairseq_metro.papers").joinpath("targets.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def target_names():
    """All names, in the papers' order.

    >>> len(target_names()), target_names()[1]
    (31, 'metro_table2')
    """
    return list(_read()["targets"])


def find_target(name):
    """The :class:`Target` of a name. Raises :class:`UserError` with the nearest names."""
    targets = _read()["targets"]
    if name not in targets:
        raise UserError(f"no table or figure {name!r} ({nearest(name, targets)})")
    entry = targets[name]
    return Target(name, entry["paper"], entry["title"], entry)


def finetuning(name):
    """The settings of one of ``finetunings``: dict."""
    return _read()["finetunings"][name]
