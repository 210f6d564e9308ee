"""fairseq-metro intermediate: what its files hold, what they do not depend on, what stops it."""

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fairseq.data import Dictionary

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.indexed import IndexedTokens
from fairseq_metro.prepare.intermediate import growing, reading
from fairseq_metro.prepare.intermediate.main import main
from fairseq_metro.prepare.intermediate.splitting import sentences_of
from fairseq_metro.smash.groups import load_group
from fairseq_metro.smash.templates import PromptTemplate
from fairseq_metro.vocabulary.tokenizers import load_tokenizer
from tests.prepare import intermediate_samples as made
from tests.smash import tiny

SINGLE = load_group("single_sentence")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """DATA of the pair group."""
    return made.run(tmp_path_factory.mktemp("pairs"), "--held-out", "0.1")


def prompts(data, side):
    """Each prompt's ids, and the meta rows."""
    tokens = IndexedTokens(data / f"{side}.prompts")
    ends = np.cumsum(tokens.sizes)
    ids = [tokens.tokens[e - s : e].tolist() for e, s in zip(ends, tokens.sizes, strict=True)]
    return ids, np.load(data / f"{side}.meta.npy")


def stamp(data):
    return json.loads((data / "intermediate.json").read_text())


def contents(data):
    """Bytes of all files, without what the stamp says of the run itself."""
    found = {str(p.relative_to(data)): p.read_bytes() for p in data.rglob("*") if p.is_file()}
    facts = json.loads(found.pop("intermediate.json"))
    return found, {name: facts[name] for name in ("data", "splits", "sentences", "settings")}


def texts_of(documents):
    """(document, number) -> sentence, found the slow way."""
    return {
        (d, number): sentence
        for d, text in enumerate(documents)
        for number, sentence in enumerate(
            one for paragraph in text.split("\n") for one in sentences_of(paragraph)
        )
    }


# What the files hold


@pytest.mark.parametrize("side", ["train", "valid"])
def test_prompts_are_the_template_with_the_sentences_that_meta_names(pairs, side):
    tokenizer = load_tokenizer(made.vocabulary_folder())
    template = PromptTemplate.parse("*cls**sent-_0*?*mask*,*+sentl_1**sep+*")
    texts = texts_of(made.documents())
    ids, meta = prompts(pairs, side)
    assert len(ids) == len(meta) >= 60
    for one, (_, d1, s1, d2, s2, mask) in zip(ids, meta.tolist(), strict=True):
        prompt = template.build([texts[d1, s1], texts[d2, s2]], tokenizer, 128)
        assert (one, mask) == (prompt.ids, prompt.mask_position)
        assert one[0] == tokenizer.bos and one[-1] == tokenizer.eos


def test_labels_are_balanced_and_told_by_documents_and_numbers(pairs):
    for side in ("train", "valid"):
        meta = prompts(pairs, side)[1]
        assert Counter(meta[:, 0].tolist()) == dict.fromkeys(range(3), len(meta) // 3)
        for label, d1, s1, d2, s2, _ in meta.tolist():
            assert label == (0 if d1 != d2 else 2 if abs(s1 - s2) == 1 else 1)
            assert (d1, s1) != (d2, s2)


def test_no_document_is_on_both_sides(pairs):
    on = [set(prompts(pairs, side)[1][:, [1, 3]].flat) for side in ("train", "valid")]
    assert not on[0] & on[1]
    counts = [stamp(pairs)["splits"][side]["documents"] for side in ("train", "valid")]
    assert counts[1] == round(0.1 * sum(counts)) == len(on[1])


def test_short_documents_and_sentences_are_left_out(pairs):
    facts, texts = stamp(pairs)["sentences"], texts_of(made.documents())
    long = Counter(d for (d, _), text in texts.items() if text not in ("No.", "Yes."))
    kept = {d for d, count in long.items() if count >= 4}
    used = {d for side in ("train", "valid") for d in prompts(pairs, side)[1][:, [1, 3]].flat}
    assert used == kept and facts["documents"] == len(kept)
    assert facts["documents_left_out"] == 60 - len(kept)
    assert facts["sentences"] == sum(long[d] for d in kept)
    assert facts["sentences"] + facts["sentences_left_out"] == len(texts)


def test_every_prompt_has_one_mask_whatever_the_text(tmp_path):
    tokenizer = load_tokenizer(made.vocabulary_folder())
    odd = ["x", "", "long " * 2000, "w" * 10_000, "<mask> here </s> <s>", "?", "\u200b", "a <mask>"]
    text = tmp_path / "odd.txt"
    text.write_text("\n\n".join("\n".join([*odd, f"end {n}."]) for n in range(9)), "utf-8")
    for sampler, template in (("pairs", "*cls**sent-_0*?*mask*,*+sentl_1**sep+*"),
                              ("sentences", "*cls**sent_0*_It_was*mask*.*sep+*")):  # fmt: skip
        group = tmp_path / f"{sampler}.yaml"
        group.write_text(yaml.safe_dump({
            "version": 1, "name": sampler, "sampler": sampler, "template": template,
            "max_length": 24, "least_tokens": 1,
        }))  # fmt: skip
        data = made.run(tmp_path, "--held-out", "0.3", "--lines", "sentence", text=text,
                        group=group, dest=sampler)  # fmt: skip
        ids, meta = prompts(data, "train")
        fixed = [tokenizer.literal(","), tokenizer.literal("?")] if sampler == "pairs" else [
            tokenizer.literal("."), *tokenizer.encode(" It was"),
        ]  # fmt: skip
        assert stamp(data)["splits"]["train"]["trimmed"] > 0
        for one, at in zip(ids, meta[:, 5], strict=True):
            assert one.count(tokenizer.mask) == 1 and one[at] == tokenizer.mask
            assert len(one) <= 24 and set(fixed) <= set(one)
            assert (one[0], one[-1]) == (tokenizer.bos, tokenizer.eos)


def test_single_sentences_and_text_without_documents(tmp_path):
    text = tmp_path / "lines.txt"
    lines = [made.sentence(n, 1) for n in range(200)]
    text.write_text("\n".join(lines) + "\n", "utf-8")
    data = made.run(tmp_path, "--documents", "line", "--lines", "sentence", text=text,
                    group="single_sentence")  # fmt: skip
    (ids, meta), valid = prompts(data, "train"), prompts(data, "valid")[1]
    tokenizer = load_tokenizer(made.vocabulary_folder())
    long = [n for n, line in enumerate(lines) if line not in ("No.", "Yes.")]
    held_out = stamp(data)["splits"]["valid"]["documents"]
    assert held_out == max(2, round(0.01 * len(long))) and len(valid) == 2
    assert len(meta) == len(long) - held_out
    assert (meta[:, 0] == -1).all() and (meta[:, 3:5] == -1).all() and (meta[:, 2] == 0).all()
    assert len(set(meta[:, 1].tolist())) == len(meta) and not set(valid[:, 1]) & set(meta[:, 1])
    template = PromptTemplate.parse(SINGLE.template)
    assert ids[0] == template.build([lines[meta[0, 1]]], tokenizer, 64).ids


def test_t5_has_a_sentinel_where_the_mask_is(tmp_path):
    data = made.run(tmp_path, "--kind", "t5", "--held-out", "0.1")
    ids, meta = prompts(data, "train")
    tokenizer = load_tokenizer(made.vocabulary_folder(), "t5")
    assert all(one[at] == tokenizer.sentinel(0) for one, at in zip(ids, meta[:, 5], strict=True))
    assert stamp(data)["kind"] == "t5"


def test_a_hugging_face_folder_gives_its_dictionary(tmp_path):
    folder, text = tiny.write_folder(tmp_path / "hf"), made.write_text(tmp_path / "t.txt")
    data = tmp_path / "data"
    main(["--group", "sentence_pair", "--input", str(text), "--tokenizer", str(folder), "--dest",
          str(data), "--workers", "1", "--held-out", "0.1"])  # fmt: skip
    tokenizer, dictionary = load_tokenizer(folder), Dictionary.load(str(data / "dict.txt"))
    assert len(dictionary) == len(tokenizer) and dictionary.index("<mask>") == tokenizer.mask
    assert all(dictionary[i] == tokenizer.bpe.pieces[i] for i in range(len(tokenizer)))
    assert load_tokenizer(data / "vocab").hash == tokenizer.hash == stamp(data)["vocabulary"]
    assert all(one.count(tokenizer.mask) == 1 for one in prompts(data, "train")[0])


# What they do not depend on


def test_the_same_documents_as_rows_or_compressed_give_the_same_data(pairs, tmp_path):
    rows, packed = tmp_path / "rows.jsonl", tmp_path / "text.txt.gz"
    rows.write_text("".join(json.dumps({"body": one}) + "\n" for one in made.documents()))
    packed.write_bytes(gzip.compress(made.write_text(tmp_path / "text.txt").read_bytes()))
    for text, options in ((rows, ["--field", "body"]), (packed, [])):
        data = made.run(tmp_path, "--held-out", "0.1", *options, text=text, dest=text.suffix)
        assert stamp(data)["data"] == stamp(pairs)["data"]


DRIVER = """
import os, sys
sys.path.insert(0, {root!r})
from fairseq_metro.prepare.intermediate import growing, main, reading, sampling
reading.JOB_CHARACTERS, growing.EVERY, sampling.CHUNK = 2000, 0.0, 300
steps, step = [0], growing.GrowingFiles.step
def counted(self, facts):
    if steps[0] == {kill_at}:
        self.write(list(self._streams)[0], b"half a step")
        os._exit(9)
    steps[0] += 1
    step(self, facts)
growing.GrowingFiles.step = counted
assert "torch" not in sys.modules, "processes would be spawned, and not know these numbers"
if __name__ == "__main__":
    main.main(sys.argv[1:])
"""


def drive(root, folder, *options, kill_at=-1, dest="data", workers=1):
    """The command in small steps in a process of its own; its exit status."""
    text = folder / "text.txt"
    if not text.exists():
        made.write_text(text)
    command = [
        sys.executable, "-c", DRIVER.format(root=str(root), kill_at=kill_at), "--group",
        "sentence_pair", "--input", str(text), "--vocab", str(made.vocabulary_folder()), "--dest",
        str(folder / dest), "--workers", str(workers), "--held-out", "0.1", *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, 9), done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    """A folder with DATA made by one process in small steps."""
    folder = tmp_path_factory.mktemp("whole")
    assert drive(root, folder) == 0
    return folder


@pytest.mark.parametrize("workers", [2, 4])
def test_bytes_do_not_depend_on_the_number_of_workers(root, whole, workers):
    assert drive(root, whole, dest=f"by{workers}", workers=workers) == 0
    assert contents(whole / f"by{workers}") == contents(whole / "data")


def test_killed_at_any_step_it_goes_on_to_the_same_bytes(root, whole):
    kills, made_so_far = 0, set()
    while drive(root, whole, dest="killed", kill_at=2, workers=1) == 9:
        kills += 1
        assert not (whole / "killed/intermediate.json").exists()
        assert not (whole / "killed/train.prompts.bin").exists()
        made_so_far |= {path.name for path in (whole / "killed/.building").iterdir()}
    assert kills > 3 and {"sentences", "train"} <= made_so_far
    assert contents(whole / "killed") == contents(whole / "data")
    assert not (whole / "killed/.building").exists()


def test_interrupted_it_goes_on_without_cutting_sentences_again(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "JOB_CHARACTERS", 2000)
    step, seen = growing.GrowingFiles.step, []

    def interrupted(self, facts):
        if len(seen) == 5:
            raise KeyboardInterrupt
        seen.append(facts["sentences"])
        step(self, facts)

    monkeypatch.setattr(growing.GrowingFiles, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.run(tmp_path, "--held-out", "0.1")
    progress = json.loads((tmp_path / "data/.building/sentences/progress.json").read_text())
    assert progress["steps"] == 5 and progress["facts"]["sentences"] == seen[-1]
    monkeypatch.setattr(growing.GrowingFiles, "step", step)
    made.run(tmp_path, "--held-out", "0.1")
    again = made.run(tmp_path, "--held-out", "0.1", dest="again")
    assert contents(tmp_path / "data") == contents(again)


def test_another_seed_gives_other_examples_and_other_held_out_documents(pairs, tmp_path):
    other = made.run(tmp_path, "--held-out", "0.1", "--seed", "2")
    (_, ours), (_, theirs) = prompts(pairs, "train"), prompts(other, "train")
    assert not np.array_equal(ours[:90], theirs[:90])
    held_out = [set(prompts(data, "valid")[1][:, 1]) for data in (pairs, other)]
    assert held_out[0] != held_out[1]


def test_a_smaller_size_is_the_beginning_of_a_larger_one(pairs, tmp_path):
    small = made.run(tmp_path, "--held-out", "0.1", "--size", "30", "--valid-size", "9")
    for side, size in (("train", 30), ("valid", 9)):
        ids, meta = prompts(small, side)
        assert ids == prompts(pairs, side)[0][:size]
        assert np.array_equal(meta, prompts(pairs, side)[1][:size])


def test_a_finished_folder_is_kept_and_another_is_refused(tmp_path, caplog):
    data = made.run(tmp_path, "--size", "30")
    before = (data / "intermediate.json").stat().st_mtime_ns
    with caplog.at_level("INFO"):
        made.run(tmp_path, "--size", "30")
    assert "finished already" in caplog.text
    assert (data / "intermediate.json").stat().st_mtime_ns == before
    for options, message in ((["--size", "33"], "size 30, not 33"),
                             (["--size", "30", "--direction", "next"], "other group"),
                             (["--size", "30", "--seed", "3"], "seed 1, not 3")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            made.run(tmp_path, *options)


# The filter


class Opinion(torch.nn.Module):
    """A teacher whose logits at the mask depend on the sum of the ids before it."""

    def __init__(self, size):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(64, size))

    def forward(self, src_tokens, masked_index):
        rows = masked_index // src_tokens.shape[1]
        return self.table[src_tokens[rows].where(src_tokens[rows] != 1, 0).sum(1) % 64]


@pytest.fixture
def teacher(tmp_path, monkeypatch):
    """A folder of a teacher, the model that is read from it, and its tokenizer."""
    tokenizer = load_tokenizer(made.vocabulary_folder())
    model = Opinion(len(tokenizer))
    folder = tmp_path / "teacher"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    fake = type(sys)("fairseq_metro.interchange.roberta")
    fake.load_roberta = lambda path: (model, tokenizer)
    monkeypatch.setitem(sys.modules, "fairseq_metro.interchange.roberta", fake)
    monkeypatch.setattr("fairseq_metro.interchange.roberta", fake, raising=False)
    return folder, model, tokenizer


def test_the_filter_keeps_what_the_slow_way_keeps(tmp_path, teacher):
    folder, model, tokenizer = teacher
    everything = made.run(tmp_path, "--held-out", "0.1", group="single_sentence")
    filtered = made.run(tmp_path, "--held-out", "0.1", "--filter-teacher", str(folder),
                        group="single_sentence", dest="filtered")  # fmt: skip
    words = [tokenizer.encode(f" {word}")[0] for word in SINGLE.filter.words]
    for side in ("train", "valid"):
        counts = {word: {"likeliest": 0, "kept": 0} for word in SINGLE.filter.words}
        kept = []
        for one, row in zip(*prompts(everything, side), strict=True):
            scores = model.table.detach()[sum(one) % 64].double()[words].exp()
            best = int(scores.argmax())
            passes = float(scores[best] / scores.sum()) > 0.5
            counts[SINGLE.filter.words[best]]["likeliest"] += 1
            counts[SINGLE.filter.words[best]]["kept"] += passes
            if passes:
                kept.append((one, row.tolist()))
        ids, meta = prompts(filtered, side)
        if side == "train":  # all were asked about; valid stops at its share
            assert 0 < len(kept) < len(prompts(everything, side)[0])
            assert list(zip(ids, meta.tolist(), strict=True)) == kept
            assert stamp(filtered)["splits"][side]["filter"] == counts


def test_a_hugging_face_teacher_says_what_transformers_says(tmp_path):
    transformers = pytest.importorskip("transformers")
    folder, text = tiny.write_folder(tmp_path / "hf"), made.write_text(tmp_path / "t.txt", 20)
    tokenizer = load_tokenizer(folder)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=130, type_vocab_size=1,
        initializer_range=1.0, layer_norm_eps=1e-5,
    )  # fmt: skip
    model = transformers.RobertaForMaskedLM(config).eval()
    model.save_pretrained(folder)
    for dest, options in (("all", []), ("some", ["--filter-teacher", str(folder)])):
        main(["--group", "single_sentence", "--input", str(text), "--tokenizer", str(folder),
              "--dest", str(tmp_path / dest), "--workers", "1", *options])  # fmt: skip
    words = [tokenizer.encode(f" {word}")[0] for word in SINGLE.filter.words]
    kept = []
    for one, row in zip(*prompts(tmp_path / "all", "train"), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([one])).logits[0, row[5], words]
        if float(logits.softmax(-1).max()) > 0.5:
            kept.append(one)
    assert prompts(tmp_path / "some", "train")[0] == kept
    assert 0 < len(kept) < len(prompts(tmp_path / "all", "train")[0])


def test_filtered_pairs_stay_balanced(tmp_path, teacher):
    values = yaml.safe_load((Path(load_group.__code__.co_filename).parent
                             / "groups/sentence_pair.yaml").read_text())  # fmt: skip
    group = tmp_path / "mine.yaml"
    group.write_text(yaml.safe_dump(
        values | {"name": "mine", "filter": {"words": ["No", "Yes"], "above": 0.8}}
    ))  # fmt: skip
    data = made.run(tmp_path, "--held-out", "0.1", "--size", "90", "--valid-size", "3",
                    "--filter-teacher", str(teacher[0]), group=group)  # fmt: skip
    assert Counter(prompts(data, "train")[1][:, 0].tolist()) == {0: 30, 1: 30, 2: 30}
    assert stamp(data)["splits"]["train"]["candidates"] > 90
    with pytest.raises(UserError, match="of 801 examples pass the filter of group mine; give"):
        made.run(tmp_path, "--held-out", "0.1", "--size", "801", "--valid-size", "3",
                 "--filter-teacher", str(teacher[0]), group=group, dest="more")  # fmt: skip


def test_a_filter_that_no_sentence_passes_does_not_advise_a_size_of_0(tmp_path, teacher):
    values = yaml.safe_load((Path(load_group.__code__.co_filename).parent
                             / "groups/single_sentence.yaml").read_text())  # fmt: skip
    group = tmp_path / "mine.yaml"
    filtered = {"words": ["terrible", "great"], "above": 0.9999}
    group.write_text(yaml.safe_dump(values | {"name": "mine", "filter": filtered}))
    with pytest.raises(UserError, match=r"only 0 of .* group mine; give more text, or a lower"):
        made.run(tmp_path, "--filter-teacher", str(teacher[0]), group=group)


def test_a_teacher_of_another_vocabulary_is_one_line(tmp_path, teacher):
    teacher[2].hash = "another"
    with pytest.raises(UserError, match="its tokenizer is not the one that the data is made with"):
        made.run(tmp_path, "--filter-teacher", str(teacher[0]), group="single_sentence")


# What stops it


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("", [], "no text; give files with documents"),
        ("Yes.\n\nNo.\n", [], "no document keeps 4 sentences of 5 tokens or more"),
        ("A good sentence of seven words here.\n" * 9, [], "too few documents: 1 for train"),
        ("\n\n".join(made.documents(3)), [], "too few documents: 0 for valid, must be at least 2"),
        (
            None,
            ["--size", "3000"],
            r"train gives \d+ examples, .*, not 3000; give --size \d+ or le",
        ),
        (None, ["--valid-size", "3000"], r"valid gives .*; give --valid-size \d+ or less"),
        (None, ["--size", "100"], "--size is 100, but 3 rule labels .* give 99 or 102"),
        (None, ["--size", "0"], "--size is 0, must be at least 1"),
        (None, ["--held-out", "1"], "--held-out is 1.0"),
        (None, ["--filter-teacher", "x"], "group sentence_pair has no filter"),
        (None, ["--group", "sentence_pairs"], "nearest: sentence_pair"),
        (None, ["--tokenizer", "x"], "give --vocab, or --tokenizer, one of them"),
        (None, ["--vocab", "nowhere"], "nowhere"),
        (None, ["--input", "-"], "standard input cannot be read again"),
        (None, ["--input", "nowhere.txt"], "nowhere.txt: no such file"),
        (None, ["--group", "single_sentence", "--direction", "next"], "--direction says nothing"),
        (None, ["--group", "single_sentence", "--filter-teacher", "none"], "no model there"),
        (None, ["--max-length", "7"], "--max-length is 7, must be at least 8"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, text, options, message):
    path = tmp_path / "mine.txt"
    path.write_text("\n\n".join(made.documents()) if text is None else text, "utf-8")
    with pytest.raises(UserError, match=message) as caught:
        made.run(tmp_path, *options, text=path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data/intermediate.json").exists()


def test_text_that_is_not_utf8_is_named_by_its_line(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("\n".join(made.documents(9)).encode() + b"\ncaf\xe9\n")
    with pytest.raises(UserError, match=r"latin\.txt: line \d+, byte \d+ is not UTF-8"):
        made.run(tmp_path, text=path)


def test_a_vocabulary_without_the_label_words_is_one_line(tmp_path):
    text, folder = made.write_text(tmp_path / "t.txt"), made.vocabulary_folder(words=False)
    with pytest.raises(
        UserError, match=r"for group sentence_pair: label word '[A-Z]\w+' is [2-9] tokens"
    ):
        main(["--group", "sentence_pair", "--input", str(text), "--vocab", str(folder), "--dest",
              str(tmp_path / "data")])  # fmt: skip


def test_a_prompt_that_never_fits_stops_before_any_text_is_read(tmp_path):
    group = tmp_path / "mine.yaml"
    group.write_text(yaml.safe_dump({
        "version": 1, "name": "mine", "sampler": "sentences", "max_length": 8,
        "template": "*cls**sent_0*_Here_the_sentence_stands_and_comes_here*mask*.*sep+*",
    }))  # fmt: skip
    with pytest.raises(UserError, match="for group mine: max_length 8 is less than the"):
        made.run(tmp_path, group=group)
    assert not (tmp_path / "data").exists()


def test_the_command_runs_as_a_script(root, tmp_path):
    text = made.write_text(tmp_path / "t.txt")
    command = [sys.executable, "-m", "fairseq_metro", "intermediate", "--group", "sentence_pair",
               "--input", str(text), "--vocab", str(made.vocabulary_folder()), "--dest"]  # fmt: skip
    done = subprocess.run([*command, str(tmp_path / "d")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "visit each of" in done.stderr
    again = subprocess.run([*command, str(tmp_path / "d"), "--seed", "2"], capture_output=True,
                           text=True)  # fmt: skip
    assert again.returncode == 1 and len(again.stderr.strip().splitlines()) == 1


def test_the_share_of_unknown_characters_is_told_and_too_many_are_an_error(pairs, tmp_path, caplog):
    known = stamp(pairs)["splits"]["train"]
    assert known["characters"] > 1000 and known["unknown_characters"] == 0
    text = tmp_path / "text.txt"
    sentences = [
        "これは 日本語の 文章です ねえ 漢字かな交じり文 そうですよね それは いいと 思います.",
        "Here it stands and it was very good.",
    ]
    text.write_text("\n\n".join("\n".join(sentences * 3) for _ in range(20)) + "\n", "utf-8")
    words = ["--held-out", "0", "--lines", "sentence"]
    with pytest.raises(UserError, match=r"train: .*% of the characters .*--allow-unknown"):
        made.run(tmp_path, *words, text=text)
    assert not (tmp_path / "data").exists()
    with caplog.at_level("WARNING"):
        data = made.run(tmp_path, *words, "--allow-unknown", text=text)
    assert "of the characters are not in the vocabulary" in caplog.text
    made_of = stamp(data)["splits"]["train"]
    # Of a document's two sentences one has 38 such characters of 39, the other none of 29.
    assert made_of["unknown_characters"] / made_of["characters"] == pytest.approx(38 / 68, abs=0.1)


def test_text_of_which_no_sentence_has_tokens_enough_names_the_vocabulary(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("これは日本語の文章です。漢字かな交じり文。\n\n" * 20, "utf-8")
    with pytest.raises(UserError, match=r"100.00% of the characters .*--allow-unknown"):
        made.run(tmp_path, text=text)
    with pytest.raises(UserError, match="no document keeps 4 sentences"):
        made.run(tmp_path, "--allow-unknown", text=text)
    assert not (tmp_path / "data").exists()


def test_text_that_cannot_be_read_leaves_nothing_behind(tmp_path):
    text = tmp_path / "text.txt"
    text.write_bytes(b"caf\xe9 au lait\n" * 20)
    with pytest.raises(UserError, match="is not UTF-8"):
        made.run(tmp_path, text=text)
    assert not (tmp_path / "data").exists()
