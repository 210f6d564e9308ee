"""Small folders of prompted pairs, written by hand, that many tests share."""

import json
import random
import shutil

import numpy as np

from fairseq_metro.data.indexed import IndexedWriter
from fairseq_metro.vocabulary.folder import Vocabulary

EOS = 2


def write_lines(prefix, lines, vocabulary_size=70):
    writer = IndexedWriter(prefix, vocabulary_size)
    for line in lines:
        writer.write(line, [len(line)])
    writer.close()


def write_split(data, split, tasks, rule="metro", ours=True):
    """tasks: dicts of name, pairs [(source ids, target ids)], and what else PromptedTask has; choices:
    [(lists of ids, index of the right one)], one per pair, or absent. ours=False: as the authors."""
    folder, entries, caps = data / split, [], {}
    for task in tasks:
        name, pairs, choices = task["name"], task["pairs"], task.get("choices")
        (folder / name).mkdir(parents=True)
        prefix = folder / name / f"{split}.src-tgt"
        write_lines(f"{prefix}.src", [source for source, _ in pairs])
        write_lines(f"{prefix}.tgt", [target for _, target in pairs])
        if choices and ours:
            write_lines(f"{prefix}.choices", [line for lines, _ in choices for line in lines])
            gold = np.array([[len(lines), right] for lines, right in choices], np.int32)
            np.save(f"{prefix}.gold.npy", gold)
        caps[name] = task.get("cap", 1000)
        entries.append({"name": name, "dataset": task.get("dataset", name), "cap": caps[name],
                        "template": task.get("template", name), "rate": task.get("rate", 1.0),
                        "rows": len(pairs), "choices": bool(choices), "cluster": None})  # fmt: skip
    (folder / "data_cap.json").write_text(json.dumps(caps))
    if ours:
        facts = {"rule": rule, "seed": 1, "tasks": entries}
        (folder / "mixture.json").write_text(json.dumps(facts))
    return folder


def write_stamp(data, vocabulary, splits):
    stamp = {
        "vocabulary": vocabulary.hash,
        "splits": {split: {"sha256": split} for split in splits},
    }
    (data / "prompted.json").write_text(json.dumps(stamp))


def random_pairs(rng, count, longest=(20, 8), symbols=range(4, 34)):
    """count pairs of random ids, each line ended by </s>."""
    return [
        tuple([*rng.choices(symbols, k=rng.randint(1, most - 1)), EOS] for most in longest)
        for _ in range(count)
    ]


KINDS = "old small bright quiet".split()
THINGS = "river stone house garden".split()


def wordings(vocabulary, rng, count):
    """Two templates of one data set, a question of two answers, and a generation task of another."""
    encode = lambda text: [*vocabulary.encode(text), EOS]  # noqa: E731
    tasks = []
    for template, words in (("is_it", ("yes", "no")), ("true_or", ("true", "false"))):
        pairs, choices = [], []
        for _ in range(count):
            said, asked, thing = rng.choice(KINDS), rng.choice(KINDS), rng.choice(THINGS)
            right = int(said != asked)
            text = f"the {said} {thing} . is the {thing} {asked} ?"
            answers = [encode(word) for word in words]
            pairs.append((encode(text), answers[right]))
            choices.append((answers, right))
        tasks.append({"name": f"toy_kinds_{template}", "dataset": "toy/kinds", "cap": count,
                      "template": template, "pairs": pairs, "choices": choices})  # fmt: skip
    pairs, choices = [], []
    for _ in range(count):
        place, things = rng.randrange(3), rng.sample(THINGS, 3)
        text = f"{' '.join(things)} . number {place} ?"
        lines = [encode(thing) for thing in things[: 2 + place % 2]] if place < 2 else []
        lines = lines or [encode(thing) for thing in things]
        pairs.append((encode(text), encode(things[place])))
        choices.append((lines, place))
    tasks.append({"name": "toy_place_which", "dataset": "toy/place", "template": "which",
                  "cap": max(1, count // 2), "pairs": pairs, "choices": choices})  # fmt: skip
    return tasks


def folder(data, vocabulary_folder, counts=None, seed=3):
    """A whole data folder: train and valid of three tasks, heldout of the last two."""
    vocabulary, rng = Vocabulary.load(vocabulary_folder), random.Random(seed)
    data.mkdir(parents=True)
    shutil.copytree(vocabulary_folder, data / "vocab")
    shutil.copyfile(vocabulary_folder / "dict.txt", data / "dict.txt")
    counts = counts or {"train": 40, "valid": 13, "heldout": 7}
    for split, count in counts.items():
        tasks = wordings(vocabulary, rng, count)
        write_split(data, split, tasks[1:] if split == "heldout" else tasks)
    write_stamp(data, vocabulary, counts)
    return data
