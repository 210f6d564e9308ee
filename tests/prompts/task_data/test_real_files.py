"""Task data beside the clone: published counts, balance of labels, sentences under their label."""

from collections import Counter

import pytest

from fairseq_metro.prompts.task_data import open_dataset

# Rows of each label, counted in the files with other tools.
LABELS = {
    ("glue/sst2", "train"): {0: 3310, 1: 3610},
    ("glue/sst2", "validation"): {0: 428, 1: 444},
    ("glue/sst2", "test"): {0: 912, 1: 909},
    ("glue/cola", "train"): {0: 2162, 1: 5088},
    ("glue/cola", "validation"): {0: 322, 1: 721},
    ("super_glue/rte", "train"): {0: 1249, 1: 1241},
    ("super_glue/rte", "validation"): {0: 146, 1: 131},
    ("super_glue/cb", "train"): {0: 115, 1: 119, 2: 16},
    ("super_glue/cb", "validation"): {0: 23, 1: 28, 2: 5},
    ("trec", "train"): {0: 1162, 1: 1250, 2: 86, 3: 1223, 4: 896, 5: 835},
    ("trec", "test"): {0: 138, 1: 94, 2: 9, 3: 65, 4: 113, 5: 81},
    ("subj", "train"): {0: 5000, 1: 5000},
    ("cr", "train"): {0: 1368, 1: 2407},
    ("mr", "train"): {0: 5331, 1: 5331},
    ("rotten_tomatoes", "train"): {0: 5331, 1: 5331},
}
# One sentence of each label, read by a person: a swapped order cannot pass.
SAYS = {
    ("glue/sst2", "train", 0): (1, "a stirring , funny and finally transporting re-imagining"),
    ("glue/cola", "validation", 0): (1, "The sailors rode the breeze clear of the rocks."),
    ("super_glue/rte", "train", 1): (0, "Pope Benedict XVI is the new leader of the Roman"),
    ("super_glue/rte", "train", 0): (1, "Weapons of Mass Destruction Found in Iraq."),
    ("super_glue/cb", "train", 0): (0, "the language was peeled down"),
    ("super_glue/cb", "validation", 0): (1, "Valence was helping"),
    ("super_glue/cb", "validation", 1): (2, "there is a shipment"),
    ("subj", "train", 0): (0, "smart and alert , thirteen conversations about one thing"),
    ("cr", "train", 1): (0, "many of our disney movies do n 't play on this dvd player"),
    ("mr", "train", 0): (0, "simplistic , silly and tedious ."),
    ("trec", "train", 1): (1, "What films featured the character Popeye Doyle ?"),
    ("trec", "test", 0): (4, "How far is it from Denver to Aspen ?"),
    ("trec", "test", 1): (5, "What county is Modesto , California in ?"),
    ("trec", "test", 2): (3, "Who was Galileo ?"),
}


def label(row):
    return row["label_coarse"] if "label_coarse" in row else row["label"]


@pytest.fixture(scope="module")
def tasks(shared):
    folder = shared / "data" / "tasks"
    if not folder.is_dir():
        pytest.skip(f"no task files: no {folder}")
    return folder


@pytest.mark.parametrize(("name", "split"), LABELS)
def test_counts_and_balance(tasks, name, split):
    data = open_dataset(name, tasks)
    expected = LABELS[name, split]
    assert Counter(map(label, data.rows(split))) == expected
    assert data.count(split) == sum(expected.values())
    differs = data.check_count(split)
    # The file of CoLA's train split has a part of the published rows, and says so.
    assert differs is None or ((name, split) == ("glue/cola", "train") and "8,551" in differs)


@pytest.mark.parametrize(("name", "split", "index"), SAYS)
def test_a_sentence_has_the_label_it_should(tasks, name, split, index):
    (row,) = open_dataset(name, tasks).rows(split, index, index + 1)
    expected, words = SAYS[name, split, index]
    assert label(row) == expected
    assert any(words in value for value in row.values() if isinstance(value, str))


@pytest.mark.parametrize(("split", "count"), [("train", 6116), ("validation", 2040)])
def test_dream(tasks, split, count):
    data = open_dataset("dream", tasks)
    rows = list(data.rows(split))
    assert len(rows) == count == data.count(split)
    assert all(row["answer"] in row["choice"] and len(row["choice"]) == 3 for row in rows)
    assert len({row["dialogue_id"] for row in rows}) == {"train": 3869, "validation": 1288}[split]


def test_texts_in_windows_1252_read_as_they_were_written(tasks):
    texts = [row["text"] for row in open_dataset("mr", tasks).rows("train")]
    assert sum("\u00e9" in text for text in texts) > 50 and "clich\u00e9s just" in texts[31]
    assert not any("\x80" <= character < "\xa0" for text in texts for character in text)
