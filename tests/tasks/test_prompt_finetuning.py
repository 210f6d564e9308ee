"""fairseq-train with --task prompt_finetuning, and fairseq's other commands on its checkpoints."""

import json
import random
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fairseq_metro.data.mixture_sampling import MixtureSampler
from fairseq_metro.data.prompted_files import open_split
from fairseq_metro.models.metro_t5 import T5TransformerModel
from fairseq_metro.scoring import score_choices
from fairseq_metro.tasks import choice_scores
from fairseq_metro.vocabulary.folder import Vocabulary
from tests import prompted
from tests.training import (
    OPTIMIZATION,
    QUIET,
    ROOT,
    SIZES,
    call,
    equal,
    launched,
    parameters,
    spawn,
    train,
)

LENGTHS = ["--max-source-length=48", "--max-target-length=16"]
BOTH = "--valid-subset=valid,heldout"
SAVING = ["--save-interval-updates=4", "--validate-interval-updates=4"]
BIN = f"{sys.exec_prefix}/bin"
PLUGIN = f"--user-dir={ROOT / 'fairseq_metro'}"
NAME = "--task=prompt_finetuning"


def command(data, save_dir, *options, architecture="t5_transformer_tiny"):
    return [
        str(data), PLUGIN, NAME, f"--arch={architecture}", "--criterion=prompt_finetuning",
        "--max-tokens=600", f"--save-dir={save_dir}", "--cpu", "--num-workers=0",
        *LENGTHS, *SIZES, *OPTIMIZATION, *QUIET, *options,
    ]  # fmt: skip


def finetune(data, save_dir, *options, **changes):
    return call("train", command(data, save_dir, *options, **changes))


def scores(save_dir, split, updates):
    return json.loads((save_dir / "scores" / f"{split}_{updates}.json").read_text())


@pytest.fixture(scope="session")
def prompts(tmp_path_factory, vocabulary):
    """train: two data sets, three templates, one of them above its cap; valid; heldout."""
    return prompted.folder(tmp_path_factory.mktemp("prompts") / "data", vocabulary)


@pytest.fixture(scope="module")
def run(tmp_path_factory, prompts):
    """28 updates with dropout, over two epochs of 13 batches and into a third; every 4 saved."""
    save_dir = tmp_path_factory.mktemp("finetuned")
    return finetune(prompts, save_dir, "--max-update=28", BOTH, *SAVING), save_dir


# Training


def test_training_lowers_the_loss_and_validates_each_split(run):
    log, _ = run
    losses, starts = log.losses(), log.lines("start")
    assert len(losses) == 28 and losses.keys() == set(range(1, 29))
    assert [line["epoch"] for line in log.lines("train")] == [1, 2, 3]
    for split, prefix, start in (("valid", "", starts[0]), ("heldout", "heldout_", starts[1])):
        last = log.lines(split)[-1]
        assert float(last[f"{split}_nll_loss"]) < start[f"start_{prefix}nll_loss"] - 0.3
        assert f"start_{prefix}accuracy" in start


def test_every_epoch_holds_the_mixtures_examples_and_other_ones(run, prompts):
    """The number of target tokens of an epoch is that of the rows the caps let in."""
    split = open_split(prompts, "train")
    sampler = MixtureSampler([t.rows for t in split.tasks], [t.cap for t in split.tasks], seed=1)
    expected = []
    for epoch in (1, 2):
        tasks, rows = sampler.epoch(epoch)
        sizes = [split.tasks[t].target.sizes[r] for t, r in zip(tasks, rows, strict=True)]
        assert np.bincount(tasks).tolist() == [40, 40, 20]
        expected.append(int(sum(sizes)))
    found = [int(line["train_target_tokens"]) for line in run[0].lines("train")]
    assert found[:2] == expected and expected[0] != expected[1]


@pytest.mark.parametrize("stop", [5, 17])
def test_a_resumed_run_equals_an_undisturbed_one_bit_by_bit(stop, run, prompts, tmp_path):
    """From the middle of the first and of the second epoch, dropout on."""
    log, save_dir = run
    first = finetune(prompts, tmp_path, f"--max-update={stop}", BOTH, *SAVING)
    second = finetune(prompts, tmp_path, "--max-update=28", BOTH, *SAVING)
    assert {**first.losses(), **second.losses()} == log.losses()
    assert min(second.losses()) == stop + 1 and second.lines("start") == []
    ours, theirs = (
        torch.load(d / "checkpoint_last.pt", weights_only=True) for d in (tmp_path, save_dir)
    )
    assert equal(ours["model"], theirs["model"])
    for key, state in ours["last_optimizer_state"]["state"].items():
        other = theirs["last_optimizer_state"]["state"][key]
        assert torch.equal(state["exp_avg"], other["exp_avg"])
        assert torch.equal(state["exp_avg_sq"], other["exp_avg_sq"])
    assert scores(tmp_path, "valid", 28) == scores(save_dir, "valid", 28)


def test_data_workers_change_nothing(run, prompts, tmp_path):
    """Over the border of an epoch, where other rows come."""
    log = finetune(prompts, tmp_path, "--max-update=15", "--num-workers=2", "--no-save",
                   "--disable-validation")  # fmt: skip
    expected = run[0].losses()
    assert log.losses() == {update: expected[update] for update in range(1, 16)}


def test_two_gloo_processes_equal_one_that_accumulates_two_batches(prompts, tmp_path):
    """Over an epoch's end, whose 13 batches leave one process without one, after a validation."""
    options = ["--max-update=8", "--dropout=0", "--attention-dropout=0", BOTH]
    options += ["--validate-interval-updates=3"]
    one = finetune(prompts, tmp_path / "one", "--update-freq=2", *options)
    found = launched(2, command(prompts, tmp_path / "two", *options))
    names = "loss nll_loss token_accuracy target_tokens".split()
    assert len(found["train_inner"]) == 8
    for ours, theirs in zip(found["train_inner"], one.lines("train_inner"), strict=True):
        for name in names:
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-4), name
    assert len(found["valid"]) == len(one.lines("valid")) >= 2
    for split in ("valid", "heldout"):
        for name in (*names, "task_loss", "accuracy", "chance"):
            ours, theirs = (kept[split][-1][f"{split}_{name}"] for kept in (
                found, {split: one.lines(split)}))  # fmt: skip
            assert float(ours) == pytest.approx(float(theirs), rel=1e-4), name
        for updates in (0, 8):
            ours, theirs = (scores(tmp_path / d, split, updates) for d in ("two", "one"))
            for task, numbers in theirs["tasks"].items():
                assert ours["tasks"][task]["examples"] == numbers["examples"]
                assert ours["tasks"][task]["accuracy"] == numbers["accuracy"]
                assert ours["tasks"][task]["loss"] == pytest.approx(numbers["loss"], rel=1e-5)
    a, b = (parameters(tmp_path / d / "checkpoint_last.pt") for d in ("one", "two"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-6)


def test_packing_trains_on_the_same_tokens_in_fewer_rows(run, prompts, tmp_path):
    options = ["--max-epoch=1", "--pack", "--no-save", "--max-source-length=64"]
    log = finetune(prompts, tmp_path, *options, BOTH)
    (packed,), plain = log.lines("train"), run[0].lines("train")[0]
    assert packed["train_target_tokens"] == plain["train_target_tokens"]
    assert float(packed["train_wpb"]) > 0
    (said,) = (text for _, text in log.records if "packed into" in text)
    assert "100 of them an epoch, packed into" in said
    assert int(said.split()[-2]) < 60
    assert log.lines("valid")  # which is not packed


def test_a_mixture_by_rate_draws_its_shares(prompts, vocabulary, tmp_path):
    """T0's and FLAN's rule: rates, not caps, say how often a task comes."""
    data = tmp_path / "data"
    prompted.folder(data, vocabulary)
    path = data / "train" / "mixture.json"
    facts = json.loads(path.read_text())
    facts["rule"] = "t0"
    for task, rate in zip(facts["tasks"], (300, 90, 10), strict=True):
        task["rate"] = rate
    path.write_text(json.dumps(facts))
    log = finetune(data, tmp_path / "run", "--max-update=1", "--no-save", "--disable-validation")
    assert any("120 examples, 400 of them an epoch" in text for _, text in log.records)


# Validation


def by_hand(data, split, save_dir, vocabulary):
    """task -> (hits / examples, loss): each choice alone through the model, summed token by token."""
    state = torch.load(save_dir / "checkpoint_last.pt", weights_only=True)
    words = Vocabulary.load(vocabulary)
    cfg = SimpleNamespace(**state["cfg"]["model"])
    model = T5TransformerModel(cfg, words.dictionary())
    model.load_state_dict(state["model"])
    model.eval()

    def log_p(source, target):
        given = torch.tensor([[words.index("decoder_start"), *target[:-1]]])
        with torch.no_grad():
            logits = model(torch.tensor([source]), None, given)[0][0].double()
        return float(logits.log_softmax(-1)[range(len(target)), target].sum())

    found = {}
    opened = open_split(data, split)
    sampler = MixtureSampler([t.rows for t in opened.tasks], [t.cap for t in opened.tasks], seed=0)
    drawn = list(zip(*map(np.ndarray.tolist, sampler.epoch(1)), strict=True))
    for place, task in enumerate(opened.tasks):
        lines = {name: split_lines(getattr(task, name)) for name in ("source", "target", "choices")}
        hits = loss = tokens = 0
        rows = [row for number, row in drawn if number == place]
        for row in rows:
            source, target = [0, *lines["source"][row]], lines["target"][row]
            first, last = task.first_choice[row : row + 2]
            values = [log_p(source, choice) for choice in lines["choices"][first:last]]
            hits += values.index(max(values)) == task.gold[row, 1]
            loss -= log_p(source, target)
            tokens += len(target)
        found[task.name] = hits / len(rows), loss / tokens
    return found


def split_lines(indexed):
    ends = np.cumsum(indexed.sizes)
    return [indexed.tokens[e - n : e].tolist() for e, n in zip(ends, indexed.sizes, strict=True)]


@pytest.mark.parametrize("split", ["valid", "heldout"])
def test_the_scores_are_those_of_a_loop_over_choices(split, run, prompts, vocabulary):
    _, save_dir = run
    found = scores(save_dir, split, 28)
    expected = by_hand(prompts, split, save_dir, vocabulary)
    assert found["tasks"].keys() == expected.keys()
    by_dataset = {}
    for name, (accuracy, loss) in expected.items():
        task = found["tasks"][name]
        assert task["accuracy"] == pytest.approx(accuracy)
        assert task["loss"] == pytest.approx(loss, rel=1e-4)
        by_dataset.setdefault(task["dataset"], []).append((accuracy, loss))
    for dataset, numbers in by_dataset.items():
        assert found["datasets"][dataset]["templates"] == len(numbers)
        assert found["datasets"][dataset]["accuracy"] == pytest.approx(np.mean(numbers, 0)[0])
    means = np.mean([np.mean(numbers, 0) for numbers in by_dataset.values()], 0)
    assert found["accuracy"] == pytest.approx(means[0])
    assert found["loss"] == pytest.approx(means[1], rel=1e-4)
    (line,) = run[0].lines(split)[-1:]
    assert float(line[f"{split}_accuracy"]) == pytest.approx(means[0], abs=1e-6)
    assert float(line[f"{split}_task_loss"]) == pytest.approx(means[1], rel=1e-4)
    assert float(line[f"{split}_chance"]) == pytest.approx(found["chance"], abs=1e-6)


def test_chance_is_one_out_of_the_choices(run):
    found = scores(run[1], "valid", 28)
    assert found["datasets"]["toy/kinds"]["chance"] == 0.5
    assert 1 / 3 <= found["datasets"]["toy/place"]["chance"] < 0.5
    assert found["num_updates"] == 28 and found["split"] == "valid"
    assert scores(run[1], "valid", 0)["accuracy"] is not None


def test_nothing_is_half_written(run):
    assert {path.suffix for path in (run[1] / "scores").iterdir()} == {".json"}


def test_batch_sizes_do_not_change_the_scores(run, prompts, tmp_path):
    finetune(prompts, tmp_path, "--max-update=1", BOTH, "--max-tokens-valid=2000", "--no-save")
    for split in ("valid", "heldout"):
        ours, theirs = scores(tmp_path, split, 0), scores(run[1], split, 0)
        for name, task in theirs["tasks"].items():
            assert ours["tasks"][name]["accuracy"] == task["accuracy"]
            assert ours["tasks"][name]["loss"] == pytest.approx(task["loss"], rel=1e-5)


# Other commands


def test_fairseq_validate_gives_the_training_runs_own_numbers(run, prompts):
    log, save_dir = run
    words = [prompts, PLUGIN, NAME, "--cpu", f"--path={save_dir}/checkpoint_last.pt", BOTH]
    done = spawn([f"{BIN}/fairseq-validate", *words, "--max-tokens=600", "--log-format=json"])
    assert done.returncode == 0, done.stderr
    for split in ("valid", "heldout"):
        (line,) = (x for x in (done.stdout + done.stderr).splitlines() if f" | {split} | {{" in x)
        validated = json.loads(line[line.index("{") :])
        for name in ("nll_loss", "accuracy", "chance", "task_loss"):
            expected = float(log.lines(split)[-1][f"{split}_{name}"])
            assert float(validated[f"{split}_{name}"]) == pytest.approx(expected, rel=1e-4), name


def test_fairseq_generate_answers_the_prompts_of_a_split(run, prompts, vocabulary):
    words = [f"{BIN}/fairseq-generate", prompts, PLUGIN, NAME, "--cpu", "--gen-subset=heldout"]
    words += [f"--path={run[1]}/checkpoint_last.pt", "--beam=1", "--max-len-b=6", *LENGTHS]
    done = spawn(words)
    assert done.returncode == 0, done.stderr
    lines = {kind: {} for kind in "STHD"}
    for line in done.stdout.splitlines():
        kind, _, rest = line.partition("-")
        if kind in lines and "\t" in rest:
            number, *fields = rest.split("\t")
            lines[kind][int(number)] = fields[-1]
    assert len(lines["D"]) == len(lines["T"]) == 7 + 3
    tasks, decode = open_split(prompts, "heldout").tasks, Vocabulary.load(vocabulary).decode
    for kind, side in (("T", "target"), ("S", "source")):
        written = {decode(line) for task in tasks for line in split_lines(getattr(task, side))}
        assert set(lines[kind].values()) <= written


def test_interactive_generation_needs_nothing_but_the_runs_folder(run):
    words = [f"{BIN}/fairseq-interactive", run[1], NAME, "--cpu", PLUGIN, *LENGTHS]
    words += [f"--path={run[1]}/checkpoint_last.pt", "--beam=2", "--max-len-b=6"]
    long = "the old river . " * 30  # far above --max-source-length: cut, as in training
    done = subprocess.run(
        list(map(str, words)), input=f"the old river . is the river old ?\n{long}\n",
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answered = [line for line in done.stdout.splitlines() if line.startswith("D-")]
    assert [line.split("\t")[0] for line in answered] == ["D-0", "D-1"]


def test_hydra_trains_the_same_model(run, prompts, tmp_path):
    cfg = torch.load(run[1] / "checkpoint_last.pt", weights_only=True)["cfg"]
    fields = "embed_dim ffn_dim attention_heads encoder_layers decoder_layers dropout max_positions"
    fields += " attention_dropout relative_position_buckets relative_position_max_distance"
    model = {key: cfg["model"][key] for key in fields.split()}
    adam = {"adam_betas": "(0.9, 0.98)", "adam_eps": 1e-6, "weight_decay": 0.01}
    lengths = {"max_source_length": 48, "max_target_length": 16}
    yaml = {
        "common": {"user_dir": str(ROOT / "fairseq_metro"), "cpu": True, "log_format": "json"},
        "task": {"_name": "prompt_finetuning", "data": str(prompts), **lengths},
        "criterion": {"_name": "prompt_finetuning"},
        "model": {"_name": "t5_transformer", **model},
        "dataset": {"max_tokens": 600},
        "optimizer": {"_name": "fused_adam", **adam},
        "lr_scheduler": {"_name": "polynomial_decay", "warmup_updates": 2, "total_num_update": 40},
        "optimization": {"lr": [2e-3], "clip_norm": 2.0, "max_update": 2},
        "checkpoint": {"no_save": True, "save_dir": str(tmp_path)},
    }
    yaml["common"]["log_interval"] = 1
    (tmp_path / "prompts.yaml").write_text("# @package _group_\n" + json.dumps(yaml))
    words = [f"{BIN}/fairseq-hydra-train", "--config-dir", tmp_path, "--config-name", "prompts"]
    done = spawn([*words, f"hydra.run.dir={tmp_path}/hydra"])
    assert done.returncode == 0, done.stdout + done.stderr
    losses = {}
    for line in (tmp_path / "hydra" / "hydra_train.log").read_text().splitlines():
        if "train_inner" in line and "{" in line:
            values = json.loads(line[line.index("{") :])
            losses[int(values["num_updates"])] = values["loss"]
    assert losses == {update: run[0].losses()[update] for update in (1, 2)}


# Where it begins


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, data):
    """A METRO-T5 run of two updates, on the same vocabulary."""
    save_dir = tmp_path_factory.mktemp("pretrained")
    train(data, save_dir, "--max-update=2", "--disable-validation")
    return save_dir


STILL = ["--max-update=1", "--disable-validation", "--lr=0", "--weight-decay=0"]


def test_a_metro_t5_run_gives_its_main_model(pretrained, prompts, tmp_path):
    log = finetune(prompts, tmp_path, f"--init-from={pretrained}", *STILL)
    ours = parameters(tmp_path / "checkpoint_last.pt")
    theirs = parameters(pretrained / "checkpoint_last.pt")
    assert {key.split(".")[0] for key in ours} == {"encoder", "decoder"}
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    (said,) = (text for _, text in log.records if "auxiliary model is left behind" in text)
    assert "RTD head is left behind" in said


def test_a_finetuned_run_goes_on_elsewhere_where_it_ended(run, prompts, tmp_path):
    finetune(prompts, tmp_path, f"--init-from={run[1]}", "--max-update=1", BOTH)
    for split in ("valid", "heldout"):
        start, end = scores(tmp_path, split, 0), scores(run[1], split, 28)
        assert start["accuracy"] == end["accuracy"]
        assert start["loss"] == pytest.approx(end["loss"], rel=1e-5)


def test_fairseqs_own_way_to_begin_gives_the_same(pretrained, prompts, tmp_path):
    log = finetune(
        prompts, tmp_path, f"--finetune-from-model={pretrained}/checkpoint_last.pt", *STILL
    )
    theirs = parameters(pretrained / "checkpoint_last.pt")
    ours = parameters(tmp_path / "checkpoint_last.pt")
    assert ours and all(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert any("auxiliary model and RTD head are left behind" in text for _, text in log.records)


def test_a_model_of_hugging_faces_kind_is_trained_and_goes_on(prompts, tmp_path):
    sizes = ["--embed-dim=16", "--ffn-dim=24", "--attention-heads=2", "--head-dim=8"]
    options = [*LENGTHS, *OPTIMIZATION, *QUIET, *sizes, "--max-tokens=600", "--cpu", BOTH]
    options += ["--num-workers=0", "--criterion=prompt_finetuning", "--arch=hf_t5_tiny"]
    first = [prompts, PLUGIN, NAME, *options, f"--save-dir={tmp_path / 'a'}"]
    log = call("train", [*first, "--max-update=3"])
    assert len(log.losses()) == 3 and "valid_accuracy" in log.lines("valid")[-1]
    again = [prompts, PLUGIN, NAME, *options, f"--save-dir={tmp_path / 'b'}"]
    log = call("train", [*again, *STILL, f"--init-from={tmp_path / 'a'}"])
    a, b = (parameters(tmp_path / d / "checkpoint_last.pt") for d in "ab")
    assert equal(a, b)


def test_a_checkpoint_says_from_which_data_it_is(run, prompts):
    state = torch.load(run[1] / "checkpoint_last.pt", weights_only=True)
    stamp = state["task_state"]["stamp"]
    assert stamp["vocabulary"] == Vocabulary.load(prompts / "vocab").hash
    assert len(stamp["data"]) == 1 and len(stamp["data"][0]) == 64
    assert state["cfg"]["model"]["decoder_start"] == "</s>"
    assert Vocabulary.load(run[1] / "vocab").hash == stamp["vocabulary"]


def test_an_authors_folder_trains_with_a_vocabulary_beside(prompts, vocabulary, tmp_path):
    data = prompted.folder(tmp_path / "data", vocabulary)
    for path in [
        *data.glob("*/mixture.json"),
        *data.glob("*/*/*.choices.*"),
        *data.glob("*/*/*.npy"),
    ]:
        path.unlink()
    (data / "prompted.json").unlink()
    log = finetune(data, tmp_path / "run", "--max-update=2", f"--vocab={vocabulary}")
    assert len(log.losses()) == 2
    assert "valid_loss" in log.lines("valid")[-1] and "valid_accuracy" not in log.lines("valid")[-1]
    assert "accuracy" not in scores(tmp_path / "run", "valid", 2)


@pytest.mark.slow
def test_few_open_files_are_allowed_by_the_shell(vocabulary, tmp_path):
    """A hundred tasks are a thousand files; the soft limit is raised where the system lets us."""
    data = prompted.folder(tmp_path / "data", vocabulary)
    pairs = prompted.wordings(Vocabulary.load(vocabulary), random.Random(1), 2)
    many = [{**pairs[0], "name": f"task{i}"} for i in range(60)]
    prompted.write_split(data, "many", many)
    words = command(data, tmp_path / "run", "--max-update=1", "--valid-subset=many")
    line = " ".join(map(str, [f"{BIN}/fairseq-train", *words])).replace("(", "\\(")
    line = line.replace(")", "\\)").replace("0.9, 0.98", "0.9,0.98")
    done = spawn(["bash", "-c", f"ulimit -Sn 200; exec {line}"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_token_limit_of_validation_is_that_of_scoring_too(monkeypatch, prompts, tmp_path):
    limits = set()

    def score(*arguments, max_tokens, **options):
        limits.add(max_tokens)
        return score_choices(*arguments, max_tokens=max_tokens, **options)

    monkeypatch.setattr(choice_scores, "score_choices", score)
    finetune(prompts, tmp_path, "--max-update=1", "--max-tokens-valid=777", "--no-save")
    assert limits == {777}
