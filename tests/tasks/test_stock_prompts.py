"""Pairs and masked lines as plain fairseq-preprocess leaves them, and the authors' layout."""

import json
import random
import shutil

import numpy as np
import pytest

from fairseq_metro.common.errors import UserError, user_message
from fairseq_metro.data.prompted_files import open_split, splits_of
from fairseq_metro.data.stock import stock_vocabulary
from fairseq_metro.data.stock_prompts import StockPrompts, kind_of_masks
from fairseq_metro.interchange.model import MAIN
from fairseq_metro.vocabulary.folder import Vocabulary
from fairseq_metro.vocabulary.own_symbols import OWN_SYMBOLS
from tests import distillation, prompted
from tests import stock as stock_folders
from tests.prepare import intermediate_samples
from tests.tasks.test_prompt_finetuning import finetune, scores
from tests.tasks.test_stock_data import UNVALIDATED
from tests.tasks.test_t5 import train_t5


def write_pairs(folder, vocabulary, count=40, names=("src", "tgt")):
    """``train.SRC``, ``train.TGT``, ``valid.…``: pieces of questions and answers, a line each."""
    rng, folder = random.Random(7), folder
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "valid"):
        sides = [[], []]
        for _ in range(count):
            said, asked = rng.choice(prompted.KINDS), rng.choice(prompted.KINDS)
            texts = f"the river {said} . is it {asked} ?", ("no", "yes")[said == asked]
            for lines, text in zip(sides, texts, strict=True):
                lines.append(f"{vocabulary.encode_pieces(text)}\n")
        for name, lines in zip(names, sides, strict=True):
            (folder / f"{split}.{name}").write_text("".join(lines), "utf-8")


def preprocess_pairs(texts, dest, *options, names=("src", "tgt")):
    words = ["--source-lang", names[0], "--target-lang", names[1], "--destdir", dest]
    words += ["--trainpref", texts / "train", "--validpref", texts / "valid", "--workers", "1"]
    stock_folders.preprocess(*words, *options)
    return dest


@pytest.fixture(scope="module")
def texts(tmp_path_factory, vocabulary):
    folder = tmp_path_factory.mktemp("pairs") / "text"
    write_pairs(folder, Vocabulary.load(vocabulary))
    return folder


@pytest.fixture(scope="module")
def pairs(texts):
    """A folder with one learned dictionary for both sides."""
    return preprocess_pairs(texts, texts.parent / "bin", "--joined-dictionary")


def message_of(data, save_dir, *options, run=finetune):
    with pytest.raises(Exception) as caught:  # fairseq may wrap ours in its own
        run(data, save_dir, "--max-update=1", *options)
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    assert not list(save_dir.glob("*.pt"))
    return message


# Prompt fine-tuning


def test_pairs_train_with_their_own_dictionary(pairs, tmp_path):
    log = finetune(pairs, tmp_path, "--max-update=4", "--validate-interval-updates=2")
    assert len(log.losses()) == 4
    (line,) = [text for _, text in log.records if "no stamp" in text]
    assert line.startswith(f"{pairs}: no stamp")
    assert "valid_accuracy" not in log.lines("valid")[-1]
    assert scores(tmp_path, "valid", 4)["tasks"].keys() == {"src-tgt"}
    symbols = Vocabulary.load(tmp_path / "vocab").symbols
    assert symbols[-len(OWN_SYMBOLS) :] == OWN_SYMBOLS
    again = finetune(pairs, tmp_path, "--max-update=5", *UNVALIDATED)
    assert list(again.losses()) == [5]


@pytest.mark.parametrize("name", ["ours", pytest.param("stock", marks=pytest.mark.slow)])
def test_pairs_go_on_with_a_model_of_pretraining_and_its_tokenizer(
    name, texts, stock, data, tmp_path
):
    """The dictionary of the pretrained run is that of the pairs: its vocabulary is taken."""
    folder, run = {"stock": stock, "ours": data}[name], tmp_path / "run"
    train_t5(folder, run, "--max-update=1", *UNVALIDATED)
    options = ["--joined-dictionary", "--srcdict", folder / "dict.txt"]
    bin_folder = preprocess_pairs(texts, tmp_path / "bin", *options)
    tuned = tmp_path / "tuned"
    finetune(bin_folder, tuned, f"--init-from={run}", "--max-update=1", *UNVALIDATED)
    kept = Vocabulary.load(tuned / "vocab")
    assert kept.hash == Vocabulary.load(run / "vocab").hash
    assert kept.has_tokenizer == (name == "ours")
    log = finetune(bin_folder, tuned, "--max-update=2", *UNVALIDATED)  # without --init-from
    assert list(log.losses()) == [2]


def test_sides_may_have_any_names(vocabulary, tmp_path):
    names = ("question", "answer")
    write_pairs(tmp_path, Vocabulary.load(vocabulary), 8, names)
    folder = preprocess_pairs(tmp_path, tmp_path / "bin", "--joined-dictionary", names=names)
    (task,) = open_split(folder, "train").tasks
    assert (task.name, task.rows, task.cap) == ("question-answer", 8, 8)
    symbols = stock_vocabulary(folder / "dict.answer.txt").symbols
    first = [symbols[i] for i in task.source.tokens[: task.source.sizes[0] - 1]]
    assert " ".join(first) == (tmp_path / "train.question").read_text().split("\n")[0]
    assert splits_of(folder) == ["train", "valid"]


def test_two_dictionaries_are_refused(texts, tmp_path):
    folder = preprocess_pairs(texts, tmp_path / "bin")
    message = message_of(folder, tmp_path / "run")
    assert f"{folder}/dict.src.txt and dict.tgt.txt differ" in message
    assert "--joined-dictionary" in message


@pytest.fixture
def broken(pairs, tmp_path):
    return shutil.copytree(pairs, tmp_path / "data")


def test_broken_pairs(broken, tmp_path):
    target = broken / "train.src-tgt.tgt"
    stock_folders.change_tokens(target, lambda ids: ids.__setitem__(0, 9999))
    message = message_of(broken, tmp_path / "run")
    assert f"{target}.bin: has a token of id 9999, but {broken}/dict.src.txt has only" in message
    prompted.write_lines(target, [[4, 2]])
    with pytest.raises(UserError, match=r"tgt\.idx: 1 lines for 40 sources"):
        open_split(broken, "train")
    target.with_name(f"{target.name}.idx").unlink()
    with pytest.raises(UserError, match=r"data_cap.json: no such file \(splits there: valid\)"):
        open_split(broken, "train")


def test_the_authors_layout_with_its_dictionary_and_subsets_of_valid(vocabulary, tmp_path):
    """dict.txt beside the splits, and valid_<data set>: a list of valid's tasks."""
    data = prompted.folder(tmp_path / "data", vocabulary)
    for path in [*data.glob("*/mixture.json"), *data.glob("*/*/*.npy"), data / "prompted.json"]:
        path.unlink()
    shutil.rmtree(data / "vocab")
    names = {"kinds": ["toy_kinds_is_it", "toy_kinds_true_or"], "place": ["toy_place_which"]}
    (data / "valid" / "valid_datasets.json").write_text(json.dumps(names))
    log = finetune(
        data, tmp_path / "run", "--max-update=2", "--valid-subset=valid_kinds,valid_place"
    )
    assert len(log.losses()) == 2
    for name, tasks in names.items():
        assert scores(tmp_path / "run", f"valid_{name}", 2)["tasks"].keys() == set(tasks)
    message = message_of(data, tmp_path / "no", "--valid-subset=valid_plaec")
    assert "splits there: valid_place" in message
    (data / "valid" / "valid_datasets.json").write_text('{"place": ["elsewhere"]}')
    assert "a task 'elsewhere' that data_cap.json has not" in message_of(
        data, tmp_path / "no", "--valid-subset=valid_place"
    )


# Prompt distillation


def write_masked(folder, mask, dictionary, extra=()):
    """A folder of fairseq-preprocess of lines with one mask symbol each."""
    vocabulary = Vocabulary.load(intermediate_samples.vocabulary_folder())
    folder.mkdir()
    for split, count in (("train", 40), ("valid", 12)):
        lines = [
            f"{vocabulary.encode_pieces(intermediate_samples.sentence(i, 1))} {mask} "
            f"{vocabulary.encode_pieces('it was good')}"
            for i in range(count)
        ]
        (folder / split).write_text("".join(f"{line}\n" for line in [*lines, *extra]), "utf-8")
    stock_folders.preprocess("--only-source", "--srcdict", dictionary, "--destdir", folder / "bin",
                     "--trainpref", folder / "train", "--validpref", folder / "valid")  # fmt: skip
    return folder / "bin"


@pytest.fixture(scope="module", params=["roberta", "t5"])
def taught(request, tmp_path_factory):
    """(kind, masked data, teacher)."""
    folder, t5 = tmp_path_factory.mktemp("taught"), request.param == "t5"
    teacher = distillation.write_teacher(
        folder / "teacher", **({"kind": MAIN, "decoder_layers": 1} if t5 else {})
    )
    mask = "<sen001>" if t5 else "<mask>"
    data = write_masked(folder / "masked", mask, teacher / "vocab" / "dict.txt")
    return request.param, data, teacher


T5_STUDENT = [*distillation.STUDENT, "--decoder-layers=1", "--relative-position-buckets=8",
              "--relative-position-max-distance=20"]  # fmt: skip


def test_masked_lines_are_distilled(taught, tmp_path):
    kind, data, teacher = taught
    model = dict(arch="t5_transformer_tiny", sizes=T5_STUDENT) if kind == "t5" else {}
    options = [f"--teacher={teacher}", "--lr=1e-2", "--validate-interval-updates=4"]
    log = distillation.train(data, tmp_path, *options, "--max-update=8", **model)
    (start,), valid = log.lines("start"), log.lines("valid")
    assert 0 < float(valid[-1]["valid_kl"]) < start["start_kl"]
    kept, vocab = Vocabulary.load(tmp_path / "vocab"), Vocabulary.load(teacher / "vocab")
    assert kept.hash == vocab.hash  # the teacher's vocabulary, with its tokenizer
    log = distillation.train(data, tmp_path, *options, "--max-update=9", *UNVALIDATED, **model)
    assert list(log.losses()) == [9]


def test_a_prompt_is_its_line_after_the_first_symbol(taught):
    kind, data, teacher = taught
    vocabulary = Vocabulary.load(teacher / "vocab")
    mask = vocabulary.sentinel_indices[0] if kind == "t5" else vocabulary.index("mask")
    assert kind_of_masks(data, vocabulary) == kind
    prompts = StockPrompts(data, "valid", mask, [0])
    lines = (data.parent / "valid").read_text("utf-8").splitlines()
    assert len(prompts) == len(lines)
    for i, line in enumerate(lines):
        ids = [0, *map(vocabulary.indices.get, line.split()), 2]
        assert prompts.tokens(i).tolist() == ids and prompts.sizes[i] == len(ids)
        assert ids[prompts.mask[i]] == mask


@pytest.mark.parametrize("line, part", [("<mask> <mask>", "has 2 masks"), ("<unk>", "has 0 masks")])
def test_a_line_has_one_mask(line, part, tmp_path):
    vocabulary = Vocabulary.load(intermediate_samples.vocabulary_folder())
    data = write_masked(tmp_path / "m", "<mask>", vocabulary.path / "dict.txt", [line])
    with pytest.raises(UserError, match=rf"train\.bin: line 41 {part}, but a prompt has one"):
        StockPrompts(data, "train", vocabulary.index("mask"), [0])


def test_mistakes_in_masked_data(taught, tmp_path):
    kind, data, teacher = taught
    if kind == "t5":
        return
    broken = shutil.copytree(data, tmp_path / "data")
    assert "no teacher" in message_of(data, tmp_path / "run", run=distillation.train)
    stock_folders.change_tokens(broken / "train", lambda ids: ids.__setitem__(0, 9999))
    message = message_of(broken, tmp_path / "run", f"--teacher={teacher}", run=distillation.train)
    assert f"{broken}/train.bin: has a token of id 9999" in message
    mask = Vocabulary.load(teacher / "vocab").index("mask")

    def without_masks(ids):
        ids[ids == mask] = 5

    for split in ("train", "valid"):
        shutil.copyfile(data / f"{split}.bin", broken / f"{split}.bin")
        shutil.copyfile(data / f"{split}.idx", broken / f"{split}.idx")
        stock_folders.change_tokens(broken / split, without_masks)
    options = [f"--teacher={teacher}", "--tokens-per-sample=64"]
    message = message_of(broken, tmp_path / "run", *options, run=distillation.train)
    assert "--distillation ce: the data folder holds text" in message


@pytest.mark.slow
def test_text_is_distilled_by_masked_lm(taught, tmp_path):
    kind, data, teacher = taught
    if kind == "t5":
        return
    mask = Vocabulary.load(teacher / "vocab").index("mask")
    text = shutil.copytree(data, tmp_path / "text")
    for split in ("train", "valid"):
        stock_folders.change_tokens(text / split, lambda ids: np.place(ids, ids == mask, [5]))
    options = [f"--teacher={teacher}", "--distillation=mlm", "--max-update=2", *UNVALIDATED,
               "--tokens-per-sample=64"]  # fmt: skip
    log = distillation.train(text, tmp_path / "run", *options)
    assert len(log.losses()) == 2
