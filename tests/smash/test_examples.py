"""Originals of both kinds through splits and back as examples."""

import json

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.examples import Example, read_split
from fairseq_metro.smash.originals import find_originals
from fairseq_metro.smash.splits import kshot_split
from fairseq_metro.smash.tasks import load_task
from tests.smash import originals


def test_tables_of_lmbff(tmp_path):
    task = load_task("mnli")
    folder = kshot_split(task, originals.mnli(tmp_path / "t"), 3, 13, tmp_path / "out")
    assert [len(read_split(task, folder, s)) for s in ("train", "dev")] == [9, 9]
    found = read_split(task, folder, "test_mismatched")
    assert len(found) == 8
    assert found[0] == Example(
        ("sentence 0 says 'it', don't it?", "dev_mismatched 0"), "entailment"
    )
    assert {e.label for e in read_split(task, folder, "train")} == set(task.labels)


def test_tables_without_header_and_with_scores(tmp_path):
    cola = load_task("cola")
    folder = kshot_split(cola, originals.cola(tmp_path / "t"), 3, 13, tmp_path / "out")
    assert len(read_split(cola, folder, "test")) == 9
    assert [e.label for e in read_split(cola, folder, "dev")].count("1") == 3
    stsb = load_task("stsb")
    folder = kshot_split(stsb, originals.stsb(tmp_path / "t"), 4, 13, tmp_path / "out")
    scores = [e.label for e in read_split(stsb, folder, "train")]
    assert sum(score < 2.5 for score in scores) == 4 and len(scores) == 8


def test_short_rows_of_qqp_are_left_out_in_reading(tmp_path):
    task = load_task("qqp")
    folder = kshot_split(task, originals.qqp(tmp_path / "t"), 4, 13, tmp_path / "out")
    lines = (folder / "train.tsv").read_text().splitlines()
    assert len(lines) == 1 + 8 + 1 and any("was cut" in line for line in lines)
    assert len(read_split(task, folder, "train")) == 8


def test_csv_and_its_missing_words(tmp_path):
    task = load_task("mr")
    folder = kshot_split(task, originals.mr(tmp_path / "t"), 4, 13, tmp_path / "out")
    found = read_split(task, folder, "test")
    assert found[:3] == [
        Example(('a "quoted" word 0',), "0"),
        Example(("commas, and more 1",), "1"),
        Example(("",), "0"),  # null, as pandas has it
    ]
    assert len(read_split(task, folder, "train")) == 8


def test_a_folder_of_lmbffs_own_command_is_read(tmp_path):
    task = load_task("sst2")
    folder = kshot_split(task, originals.sst2(tmp_path / "t"), 4, 13, tmp_path / "out")
    ours = read_split(task, folder, "train")
    (folder / "split.json").unlink()
    assert read_split(task, folder, "train") == ours


@pytest.mark.parametrize("content", ["", "sentence\tlabel\n"])
@pytest.mark.parametrize("stamped", [True, False])
def test_a_split_without_rows_is_refused(tmp_path, content, stamped):
    """Training would draw batches from nothing for ever."""
    task = load_task("sst2")
    folder = kshot_split(task, originals.sst2(tmp_path / "t"), 4, 13, tmp_path / "out")
    (folder / "train.tsv").write_text(content)
    if not stamped:
        (folder / "split.json").unlink()
    with pytest.raises(UserError, match=r"train\.tsv: no row in it; run fairseq-metro kshot"):
        read_split(task, folder, "train")


def published(tasks):
    """Sets as they were first published, not in LM-BFF's layout."""
    for folder in ("sst2", "cr", "trec", "rte", "subj"):
        (tasks / folder).mkdir(parents=True)
    rows = [f"{i % 2} it is number {i} ." for i in range(60)]
    for split in ("train", "dev", "test"):
        (tasks / "sst2" / f"stsa.binary.{split}").write_text("\n".join(rows) + "\n")
    (tasks / "cr" / "custrev.all").write_text("\n".join(f"{i % 2} row {i}" for i in range(2100)))
    odd = [f"{i % 2} caf\u00e9 {i}" for i in range(2100)]
    (tasks / "subj" / "subj.all").write_bytes("\n".join(odd).encode("windows-1252"))
    kinds = "DESC:def ENTY:animal ABBR:exp HUM:ind NUM:count LOC:city".split()
    questions = [f"{kinds[i % 6]} Who is number {i} ?" for i in range(90)]
    (tasks / "trec" / "train_5500.label").write_text("\n".join(questions) + "\n")
    (tasks / "trec" / "TREC_10.label").write_text("\n".join(questions[:12]) + "\n")
    names = ["entailment", "not_entailment"]
    pairs = [
        {"premise": f"p {i}", "hypothesis": f"h {i}", "label": names[i % 2], "idx": i}
        for i in range(60)
    ]
    for split in ("train", "val"):
        lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
        (tasks / "rte" / f"{split}.jsonl").write_text(lines)
    return tasks


def test_published_files_give_their_own_lines(tmp_path):
    tasks = published(tmp_path / "t")
    for name, file, test in (
        ("sst2", "sst2/stsa.binary.train", "sst2/stsa.binary.dev"),
        ("rte", "rte/train.jsonl", "rte/val.jsonl"),
        ("trec", "trec/train_5500.label", "trec/TREC_10.label"),
    ):
        task = load_task(name)
        folder = kshot_split(task, tasks, 5, 13, tmp_path / "out")
        (train,) = folder.glob("train.*")
        lines = train.read_bytes().splitlines()
        assert set(lines) <= set((tasks / file).read_bytes().splitlines())
        (copied,) = folder.glob("test.*")
        assert copied.read_bytes() == (tasks / test).read_bytes()
        examples = read_split(task, folder, "train")
        assert len(examples) == len(lines) == 5 * len(task.labels)
        assert {e.label for e in examples} == set(task.labels)


def test_classes_are_named_as_the_words_are(tmp_path):
    tasks, task = published(tmp_path / "t"), load_task("trec")
    folder = kshot_split(task, tasks, 3, 13, tmp_path / "out")
    words = [task.words[e.label] for e in read_split(task, folder, "test")[:6]]
    assert words == ["Description", "Entity", "Expression", "Human", "Number", "Location"]
    rte = load_task("rte")
    folder = kshot_split(rte, tasks, 3, 13, tmp_path / "out")
    assert read_split(rte, folder, "test")[1] == Example(("p 1", "h 1"), "not_entailment")


@pytest.mark.parametrize("name", ["cr", "subj"])
def test_a_test_is_drawn_where_none_is_published(tmp_path, name):
    tasks, task = published(tmp_path / "t"), load_task(name)
    found = find_originals(task, tasks)
    assert len(found.lines) == 100 and found.tests["test"].count(b"\n") == 2000
    one, two = (
        kshot_split(task, tasks, k, seed, tmp_path / "out") for k, seed in ((4, 13), (8, 42))
    )
    test = (one / "test.txt").read_bytes()
    assert test == (two / "test.txt").read_bytes() and len(read_split(task, one, "test")) == 2000
    drawn = set(test.splitlines())
    for folder in (one, two):
        for split in ("train", "dev"):
            assert not drawn & set((folder / f"{split}.txt").read_bytes().splitlines())
    order = [int(e.sentences[0].split()[1]) for e in read_split(task, one, "test")]
    assert order == sorted(order)
    if name == "subj":
        assert "café" in read_split(task, one, "train")[0].sentences[0]


def test_lmbffs_layout_comes_first(tmp_path):
    tasks = published(tmp_path / "t")
    originals.sst2(tasks)
    assert find_originals(load_task("sst2"), tasks).suffix == ".tsv"


def failing(tmp_path, name, file, content):
    (tmp_path / "t" / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "t" / file).write_bytes(content)
    with pytest.raises(UserError) as error:
        task = load_task(name)
        folder = kshot_split(task, tmp_path / "t", 2, 13, tmp_path / "out")
        read_split(task, folder, "train")
        read_split(task, folder, "test")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_damaged_files_are_one_line(tmp_path):
    header = b"sentence\tlabel\n"
    good = header + b"".join(b"t %d\t%d\n" % (i, i % 2) for i in range(20))
    originals.sst2(tmp_path / "t")
    assert "is not utf-8" in failing(tmp_path, "sst2", "SST-2/train.tsv", good + b"caf\xe9\t1\n")
    (tmp_path / "t/SST-2/train.tsv").write_bytes(good)
    assert "line 2: column 2 is missing" in failing(
        tmp_path, "sst2", "SST-2/dev.tsv", header + b"x\n"
    )
    said = failing(tmp_path, "stsb", "SST-2/x.tsv", b"")
    assert "no STS-B" in said or "not found" in said
    originals.stsb(tmp_path / "t")
    assert "is no score" in failing(
        tmp_path, "stsb", "STS-B/train.tsv", b"h\n" + b"\t" * 8 + b"b\tx\n"
    )
    originals.mr(tmp_path / "t")
    assert "line 1 has 3 columns" in failing(tmp_path, "mr", "mr/train.csv", b"1,a,b\n")
    assert "no score from 0 to 5" in wrong_score(tmp_path)


def wrong_score(tmp_path):
    tasks = originals.stsb(tmp_path / "w")
    folder = kshot_split(load_task("stsb"), tasks, 2, 13, tmp_path / "w" / "out")
    (folder / "dev.tsv").write_text("h\n" + "\t" * 9 + "7.5\n")
    with pytest.raises(UserError) as error:
        read_split(load_task("stsb"), folder, "dev")
    return str(error.value)


def test_wrong_folders_are_one_line(tmp_path):
    tasks = originals.sst2(tmp_path / "t")
    folder = kshot_split(load_task("sst2"), tasks, 4, 13, tmp_path / "out")
    with pytest.raises(UserError, match="a split of sst2, not of cola"):
        read_split(load_task("cola"), folder, "train")
    with pytest.raises(UserError, match="no such folder"):
        kshot_split(load_task("sst2"), tmp_path / "none", 4, 13, tmp_path / "out")
    (folder / "dev.tsv").unlink()
    with pytest.raises(UserError, match=r"dev\.tsv: no such file"):
        read_split(load_task("sst2"), folder, "dev")
    (folder / "train.tsv").write_text("sentence\tlabel\nx\t7\n")
    with pytest.raises(UserError, match="line 2: label '7' has no word"):
        read_split(load_task("sst2"), folder, "train")
