"""Convert FLAN's own templates from a copy of its file to a folder for --templates.

FLAN's repository (google-research/FLAN, Apache-2.0) has flan/templates.py: ten templates for each of 61
sets. They are not in this package. The file is read as data, and nothing of it is executed. OUT has a
file of templates for each data set, in promptsource's layout: options stand where FLAN's templates have
them, and no field is cut.
"""

import sys
from collections import Counter
from pathlib import Path

import yaml

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import filled_folder
from fairseq_metro.prompts.collection import FILE_NAME
from fairseq_metro.prompts.flan.conversion import converted, is_known, sets_of
from fairseq_metro.prompts.flan.patterns import read_patterns
from fairseq_metro.prompts.reading import read_templates

HEAD = "# From FLAN's templates.py (Apache-2.0), set {}, by fairseq-metro import-flan.\n"


def parser():
    """Build the command's argument parser."""
    made = CommandParser(prog="fairseq-metro import-flan", description=__doc__)
    made.add_argument("file", type=Path, metavar="FILE", help="FLAN's flan/templates.py.")
    made.add_argument("--out", type=Path, default=Path("flan_templates"), metavar="DIR",
                      help="Folder to write the templates to (default: %(default)s).")  # fmt: skip
    return made


def main(argv=None):
    args = parser().parse_args(argv)
    sets = read_patterns(args.file)
    files, notes = {}, []
    for name, pairs in sets.items():
        _refuse_odd_name(args.file, name)
        for flan_set in sets_of(name):
            content, lacking = converted(args.file, name, pairs, flan_set)
            notes += _notes(name, pairs, flan_set, content, lacking)
            if content["templates"]:
                text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
                files[flan_set.dataset] = HEAD.format(name) + text
    if not files:
        raise UserError(f"{args.file}: no template that our rows have the fields for")
    with filled_folder(args.out) as new:
        for dataset, text in files.items():
            path = new / dataset / FILE_NAME
            path.parent.mkdir(parents=True)
            path.write_text(text, "utf-8")
            _try(args.file, dataset, path)
    sys.stdout.write(report(args.file, sets, files, notes, args.out))
    return 0


def _try(file, dataset, path):
    """Raise :class:`UserError` where a template that was just written could not be read again."""
    try:
        for template in read_templates(path, dataset)[1]:
            template.fields  # noqa: B018  parses it
    except UserError as error:
        what = str(error).replace(f"{path}: ", "")
        raise UserError(f"{file}: templates of {dataset}: {what}") from None


def _refuse_odd_name(path, name):
    """Raise :class:`UserError` for a set's name that cannot be a folder's."""
    if not name.strip() or "/" in name or name.startswith(".") or not name.isprintable():
        raise UserError(f"{path}: the set {name!r:.80} has a name that no folder can have")


def _notes(name, pairs, flan_set, content, lacking):
    """Notes on the templates of a set for the user: list of str."""
    fields = ", ".join(f"{field!r} ({count})" for field, count in sorted(lacking.items()))
    left_out = len(pairs) - len(content["templates"])
    if left_out:
        return [
            f"{flan_set.dataset}: {left_out} of {len(pairs)} templates left out; rows have no {fields}"
        ]
    if not flan_set.own:
        return []
    known = "" if is_known(name) else ", a set that no mixture of this package has"
    return [f"{flan_set.dataset}: rows need FLAN's own fields{known}"]


def report(path, sets, files, notes, out):
    """The command's output: sets by their number of templates, notes, and next steps."""
    counts = Counter(map(len, sets.values()))
    by_count = ", ".join(f"{number} of {count}" for count, number in counts.most_common())
    width = max(map(len, sets))
    lines = [f"  {name:{width}}  {len(pairs):3}" for name, pairs in sets.items()]
    lines += [f"{path}: {len(sets)} sets, {by_count} templates", ""]
    lines += [f"- {note}" for note in notes]
    lines += [f"{out}: templates of {len(files)} data sets; use them with --templates {out}"]
    return "\n".join(lines) + "\n"
