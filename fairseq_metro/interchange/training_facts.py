"""What an exported folder says of its training, in ``config.json`` under ``fairseq_metro``.

It makes the model card, and comes back with an import, so that a second export is the same.
"""

import os
import re
import shlex

SECTION = "fairseq_metro"


def facts_of(model, title=None):
    """The section for a ``Model``: title, architecture, updates and the stamp of its training.

    Folders of the machine are left out of the stamp: of a path its last part stays.
    """
    stamp = dict(model.stamp)
    held = {key: stamp.pop(key, None) for key in ("title", "updates")}
    return {
        "title": title or held["title"] or model.name,
        "architecture": model.name,
        "updates": model.num_updates or held["updates"] or 0,
        "stamp": _without_folders(stamp),
    }


def training_of(config):
    """(num_updates, stamp) for a ``Model``, from a ``config.json`` of any kind; (0, {}) without."""
    facts = config.get(SECTION)
    if not isinstance(facts, dict) or not isinstance(facts.get("stamp"), dict):
        return 0, {}
    held = {key: facts[key] for key in ("title", "updates") if key in facts}
    return facts.get("updates", 0), {**facts["stamp"], **held}


def _without_folders(value):
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(each) for each in value]
    return without_folders(value) if isinstance(value, str) else value


def without_folders(text):
    """A command line or other text, of whose absolute paths only the last part is left.

    >>> without_folders("/bin/fairseq-train /a/data:/a/b/more --arch metro_t5_base")
    'fairseq-train data:more --arch metro_t5_base'
    """
    try:
        words = shlex.split(text)
    except ValueError:  # no command line
        words = text.split(" ")
    if not any(os.sep in word for word in words):
        return text
    return " ".join(shlex.quote(_PATH.sub(r"\1", word)) for word in words)


_PATH = re.compile(r"(?:(?<=^)|(?<=[:=,]))/(?:[^/:=,]*/)*([^/:=,]*)")
