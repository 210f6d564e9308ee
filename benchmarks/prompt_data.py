#!/usr/bin/env python3
"""Rows to prompted, binarized pairs: ours, the usual way, and a loop over compiled templates.

    python benchmarks/prompt_data.py --vocab VOCAB [--tasks TASKS --datasets super_glue/rte ..] \\
        [--json FILE]

All sides start from the same rows in fresh processes, with the same number of workers, and end with
the same tokens of sources and targets (compared byte for byte). Ours also writes every choice.

usual      promptsource's `Template.apply` per row through `datasets.map(num_proc=workers)`, one
           pass over a data set for all its templates; text files; pieces as text by as many
           processes (the same normaliser, SentencePiece); one fairseq-preprocess over all tasks
compiled   each template compiled once by Jinja, a plain loop over the rows, each text encoded on
           its own by the same vocabulary, the same files written; tasks shared out to the workers

The usual way is given less work than METRO's data script does, which calls `map` and
fairseq-preprocess for every task. Without --tasks, rows are made of Python's own documentation: RTE
(10 templates) and IMDB (11). Time is wall clock of whole commands, imports included, the median of
--repeats. Needs promptsource, datasets and fairseq beside the package.
"""

import argparse
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from pydoc_data.topics import topics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jinja2 import Environment

from benchmarks.preprocess import ROOT, clock, run, versions
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import read_json
from fairseq_metro.common.stamp import commit
from fairseq_metro.data.indexed import IndexedWriter
from fairseq_metro.data.prompted_files import CAPS, open_split
from fairseq_metro.prepare.prompted.pairs import one_line
from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.task_data import open_dataset
from fairseq_metro.vocabulary.folder import DICTIONARY, Vocabulary

RIVALS = ("promptsource", "datasets", "Jinja2")
GENERATED = ("super_glue/rte", "imdb")


def main(argv=None):
    if argv is None and len(sys.argv) > 1 and sys.argv[1] in PARTS:
        return PARTS[sys.argv[1]](*sys.argv[2:])
    args = parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prepare(folder, args)
        rows = measure(folder, args)
    for line in rows:
        print("{name}: {ours:.0f} against {rival:.0f} {unit}, {ratio:.1f} times".format(**line))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        with open(args.json, "a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(line) + "\n" for line in rows)
    return 0


def parser():
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("--vocab", required=True, type=Path, help="Vocabulary folder.")
    add("--tasks", type=Path, help="Folder of task data (default: generated rows).")
    add("--datasets", nargs="+", help="Data sets of TASKS whose training splits are used.")
    add("--rows", type=int, default=600, help="Maximum number of rows per data set (default: 600).")
    add("--workers", type=int, default=2, help="Number of processes on each side (default: 2).")
    add("--repeats", type=int, default=3, help="Number of runs per side (default: 3).")
    add("--json", type=Path, help="File to append the rows to, one per line.")
    return made


# The rows, once for all sides


def prepare(folder, args):
    """``folder/tasks/<data set>/train.jsonl`` and the mixture of them."""
    if bool(args.tasks) != bool(args.datasets):
        raise UserError("--tasks and --datasets go together: which data sets of which folder?")
    names = args.datasets or GENERATED
    for name in names:
        if args.tasks:
            rows = open_dataset(name, args.tasks).rows("train")
        else:
            rows = generated(name, args.rows)
        rows = [row for _, row in zip(range(args.rows), rows, strict=False)]
        path = folder / "tasks" / name / "train.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    sets = "".join(f"  - {name}\n" for name in names)
    (folder / "mixture.yaml").write_text(f"version: 1\nname: bench\nrule: metro\nsets:\n{sets}")


def generated(name, number):
    """Rows with texts of the lengths that the data set's own have, from Python's documentation."""
    words = " ".join(topics[topic] for topic in sorted(topics)).split()
    rng = random.Random(name)

    def text(low, high):
        start = rng.randrange(len(words) - high)
        return " ".join(words[start : start + rng.randint(low, high)])

    for index in range(number):
        if name == "imdb":
            yield {"text": text(60, 400), "label": rng.randrange(2)}
        else:
            yield {"premise": text(15, 90), "hypothesis": text(5, 15),
                   "label": rng.randrange(2), "idx": index}  # fmt: skip


# The three sides


def measure(folder, args):
    """Two rows: ours against each of the others, in prompted pairs per second."""
    sides = {"ours": ours, "usual": usual, "compiled": compiled}
    times = {side: [] for side in sides}
    for _ in range(args.repeats):
        for side, make in sides.items():
            place = folder / side
            shutil.rmtree(place, ignore_errors=True)
            times[side].append(clock(lambda make=make, place=place: make(folder, place, args)))
    pairs = compare(folder)
    speed = {side: pairs / statistics.median(seconds) for side, seconds in times.items()}
    what = {
        "usual": "promptsource apply through datasets.map, text, fairseq-preprocess",
        "compiled": "a loop over compiled templates, each text encoded on its own",
    }
    return [
        {
            "name": f"rows to binarized prompted pairs, against {what[rival]}, "
            f"{args.workers} workers",
            "ours": round(speed["ours"], 1),
            "rival": round(speed[rival], 1),
            "ratio": round(speed["ours"] / speed[rival], 2),
            "unit": "pairs/s",
            "pairs": pairs,
            "data": "generated rte and imdb" if not args.tasks else ", ".join(args.datasets),
            "seconds": {side: [round(s, 2) for s in times[side]] for side in ("ours", rival)},
            "versions": versions() | {name: version(name) for name in RIVALS},
            "commit": commit(),
            "date": time.strftime("%Y-%m-%d"),
        }
        for rival in ("usual", "compiled")
    ]


def compare(folder):
    """Raise :class:`UserError` where the sides' tokens differ; return the number of pairs."""
    for kind in ("src", "tgt"):
        mine = [
            folder / "ours/train" / task / f"train.src-tgt.{kind}.bin" for task in tasks(folder)
        ]
        whole = b"".join(path.read_bytes() for path in mine)
        if (folder / f"usual/bin/train.src-tgt.{kind}.bin").read_bytes() != whole:
            raise UserError(f"{kind}: the usual way's tokens differ from ours")
        theirs = [folder / "compiled" / f"{task}.{kind}.bin" for task in tasks(folder)]
        if b"".join(path.read_bytes() for path in theirs) != whole:
            raise UserError(f"{kind}: the loop's tokens differ from ours")
    return sum(task.rows for task in open_split(folder / "ours", "train").tasks)


def tasks(folder):
    """Task names in order, as ours wrote them."""
    return list(read_json(folder / "ours/train" / CAPS))


def ours(folder, place, args):
    """The command a person types."""
    run(
        "-m", "fairseq_metro", "prompts", "--mixture", folder / "mixture.yaml",
        "--tasks", folder / "tasks", "--vocab", args.vocab, "--dest", place, "--split", "train",
        "--workers", args.workers,
    )  # fmt: skip


def usual(folder, place, args):
    """Text by promptsource and datasets, pieces by processes, fairseq-preprocess."""
    run(__file__, "--usual-text", folder, place, args.workers)
    for side in ("src", "tgt"):
        parts = [
            subprocess.Popen(
                [sys.executable, str(ROOT / "benchmarks/preprocess.py"), "--spm-encode",
                 str(place / f"text.{side}"), str(args.vocab), str(place / f"{side}{i}"), str(i),
                 str(args.workers)]
            )
            for i in range(args.workers)
        ]  # fmt: skip
        if any(part.wait() for part in parts):
            raise UserError("spm-encode failed")
        with open(place / f"pieces.{side}", "wb") as whole:
            for i in range(args.workers):
                whole.write((place / f"{side}{i}").read_bytes())
    dictionary = args.vocab / DICTIONARY
    run(
        "-m", "fairseq_cli.preprocess", "--source-lang", "src", "--target-lang", "tgt",
        "--trainpref", place / "pieces", "--srcdict", dictionary, "--tgtdict", dictionary,
        "--destdir", place / "bin", "--workers", args.workers,
    )  # fmt: skip


def usual_text(folder, place, workers):
    """``text.src`` and ``text.tgt``: METRO's rules, task after task."""
    from datasets import disable_progress_bars, load_dataset
    from promptsource.templates import DatasetTemplates

    disable_progress_bars()
    place = Path(place)
    place.mkdir()
    lines = {"src": [], "tgt": []}
    for file in files(folder):
        name = file.parent.relative_to(Path(folder) / "tasks").as_posix()
        templates = DatasetTemplates(*name.split("/"))
        every = [templates[key] for key in sorted(templates.all_template_names)]
        rows = load_dataset("json", data_files=str(file), cache_dir=str(place / "cache"))["train"]

        def apply(row, every=every):
            return {"parts": [template.apply(row) for template in every]}

        made = rows.map(apply, num_proc=int(workers), remove_columns=rows.column_names)["parts"]
        made = list(made)
        for index in range(len(every)):
            for row in made:
                parts = row[index]
                if len(parts) == 2 and parts[1]:
                    lines["src"].append(one_line(parts[0]))
                    lines["tgt"].append(one_line(parts[1]))
    for side, found in lines.items():
        (place / f"text.{side}").write_text("".join(f"{line}\n" for line in found), "utf-8")
    return 0


def files(folder):
    """The data sets' files in the mixture's order."""
    text = (Path(folder) / "mixture.yaml").read_text()
    return [Path(folder) / "tasks" / name / "train.jsonl" for name in re.findall(r"- (\S+)", text)]


def compiled(folder, place, args):
    """The loop, in as many processes."""
    place.mkdir()
    parts = [
        subprocess.Popen([sys.executable, __file__, "--compiled-part",
                          *map(str, (folder, place, args.vocab, i, args.workers))])
        for i in range(args.workers)
    ]  # fmt: skip
    if any(part.wait() for part in parts):
        raise UserError("the loop over compiled templates failed")


def compiled_part(folder, place, vocab, part, parts):
    """The tasks ``part``, ``part + parts``, … by Jinja alone, as promptsource renders."""
    vocabulary, known = Vocabulary.load(vocab), find_templates()
    place, number = Path(place), 0
    for file in files(folder):
        name = file.parent.relative_to(Path(folder) / "tasks").as_posix()
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        for template in known.of(name):
            number += 1
            if number % int(parts) == int(part):
                loop(template, rows, vocabulary, place)
    return 0


def loop(template, rows, vocabulary, place):
    """One task: render, split, encode, write, a row at a time."""
    environment = Environment()
    environment.globals["zip"] = zip
    cut = template.jinja.replace("}}", " | string | truncate(2048) }}")
    body = environment.from_string(cut)
    choices = template.answer_choices and environment.from_string(template.answer_choices)
    writers = {
        kind: IndexedWriter(place / f"{template.task_name}.{kind}", len(vocabulary))
        for kind in ("src", "tgt")
    }
    for row in rows:
        given = choices and [part.strip() for part in choices.render(**row).split("|||")]
        parts = [p.strip() for p in body.render(**row, answer_choices=given).split("|||")]
        if len(parts) == 2 and parts[1]:
            for writer, text in zip(writers.values(), parts, strict=True):
                ids = [*vocabulary.encode(one_line(text)), 2]
                writer.write(ids, [len(ids)])
    for writer in writers.values():
        writer.close()


PARTS = {"--usual-text": usual_text, "--compiled-part": compiled_part}

if __name__ == "__main__":
    sys.exit(run_command(main))
