"""Hand-made original files in LM-BFF's layout, with what real ones have: repeats, odd lines."""

import csv
import io
from pathlib import Path


def _sentence(i):
    return f"sentence {i // 2} says 'it', don't it?"  # each text twice


def tsv(folder, name, header, rows):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [*([header] if header else []), *rows]
    (folder / name).write_bytes("".join("\t".join(line) + "\n" for line in lines).encode())


def sst2(tasks, rows=90):
    for name, n in (("train.tsv", rows), ("dev.tsv", 11)):
        table = [[_sentence(i) + f" {name}", str(i * i % 3 % 2)] for i in range(n)]
        tsv(tasks / "SST-2", name, ["sentence", "label"], table)
    return tasks


def cola(tasks, rows=90):
    for name, n in (("train.tsv", rows), ("dev.tsv", 9)):
        table = [
            ["gj04", str(int(i % 7 > 2)), "*" if i % 5 else "", _sentence(i)] for i in range(n)
        ]
        tsv(tasks / "CoLA", name, None, table)
    return tasks


def mnli(tasks, rows=120):
    labels = ["entailment", "neutral", "contradiction"]
    header = [*"abcdefgh", "sentence1", "sentence2", "label1", "gold_label"]
    for name, n in (("train", rows), ("dev_matched", 7), ("dev_mismatched", 8)):
        table = [
            [*map(str, range(8)), _sentence(i), f"{name} {i}", "x", labels[i * 5 % 7 % 3]]
            for i in range(n)
        ]
        tsv(tasks / "MNLI", f"{name}.tsv", header, table)
    return tasks


def stsb(tasks, rows=90):
    for name, n in (("train.tsv", rows), ("dev.tsv", 6)):
        table = [
            [*map(str, range(7)), _sentence(i), f"other {i}", f"{i * 7 % 26 / 5:.3f}"]
            for i in range(n)
        ]
        tsv(tasks / "STS-B", name, [*"abcdefg", "sentence1", "sentence2", "score"], table)
    return tasks


def qqp(tasks, rows=80):
    table = [["1", "2", "3", _sentence(i), f"q {i}", str(int(i % 3 == 0))] for i in range(rows)]
    table[17] = ["1", "2", "3", "a line that was cut"]
    tsv(tasks / "QQP", "train.tsv", ["id", "qid1", "qid2", "q1", "q2", "dup"], table)
    tsv(tasks / "QQP", "dev.tsv", ["id", "qid1", "qid2", "q1", "q2", "dup"], table[:9])
    return tasks


def mr(tasks, rows=90):
    texts = ['a "quoted" word', "commas, and more", "null", "plain", "café", ""]
    for name, n in (("train.csv", rows), ("test.csv", 13)):
        out = io.StringIO()
        table = [[i % 2, texts[i % 6] + (f" {i}" if i % 6 in (0, 1, 3) else "")] for i in range(n)]
        csv.writer(out, lineterminator="\n").writerows(table)
        (tasks / "mr").mkdir(parents=True, exist_ok=True)
        (tasks / "mr" / name).write_text(out.getvalue(), "utf-8")
    return Path(tasks)
