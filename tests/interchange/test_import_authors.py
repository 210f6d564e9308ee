"""What is imported is a run's folder like any other: fairseq loads, generates from and resumes it."""

import shutil
import subprocess
import sys

import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_metro import cli
from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange import export_authors, import_authors
from fairseq_metro.interchange.model import read_model
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.interchange import authors, ours
from tests.interchange.conftest import SENTINELS
from tests.interchange.vocabulary import rows_of
from tests.training import ROOT, call, spawn


@pytest.fixture(scope="module")
def state(theirs):
    return authors.training_state(rows=rows_of(theirs, SENTINELS), positions=64)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, theirs, state):
    """A checkpoint of theirs beside its vocabulary."""
    folder = shutil.copytree(theirs, tmp_path_factory.mktemp("theirs") / "folder")
    return authors.write_checkpoint(folder / "checkpoint_best.pt", state)


@pytest.fixture(scope="module")
def run(tmp_path_factory, checkpoint):
    out = tmp_path_factory.mktemp("imported") / "run"
    assert import_authors.main([str(checkpoint), "--out", str(out)]) == 0
    return out


def logits_are_theirs(model, state):
    tokens, previous = authors.batch(len(state["encoder.embed_tokens.weight"]))
    ours.assert_same(ours.outputs(model.eval(), tokens, previous),
                     ours.expected(state, tokens, previous))  # fmt: skip


def test_fairseq_loads_it_weights_only_with_the_same_logits(run, state):
    models, cfg, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(run / "checkpoint_last.pt")]
    )
    logits_are_theirs(models[0], state)
    assert cfg.model._name == "metro_t5" and cfg.task._name == "metro_t5"
    assert (cfg.model.decoder_start, cfg.model.pretraining_decoder_start) == ("</s>", "<sen000>")
    assert len(task.source_dictionary) == len(state["encoder.embed_tokens.weight"])


def test_the_main_model_alone_becomes_a_t5_transformer(checkpoint, tmp_path, state):
    words = [str(checkpoint), "--out", str(tmp_path / "run"), "--main-only"]
    assert import_authors.main(words) == 0
    path = str(tmp_path / "run" / "checkpoint_last.pt")
    (model,), cfg, _ = checkpoint_utils.load_model_ensemble_and_task([path])
    assert cfg.model._name == "t5_transformer"
    logits_are_theirs(
        model, {k: v for k, v in state.items() if not k.startswith(("generator.", "rtd_"))}
    )


def test_its_folder_can_be_moved_and_carries_its_vocabulary(run, tmp_path, vocabulary):
    moved = shutil.copytree(run, tmp_path / "moved")
    assert Vocabulary.load(moved / "vocab").symbols == vocabulary.symbols
    checkpoint_utils.load_model_ensemble_and_task(
        [str(moved / "checkpoint_last.pt")], arg_overrides={"data": str(moved)}
    )
    saved = torch.load(run / "checkpoint_last.pt", weights_only=True)
    assert saved["task_state"]["stamp"]["vocabulary"] == Vocabulary.load(run / "vocab").hash


def test_interactive_generation_from_it(run):
    words = [f"{sys.exec_prefix}/bin/fairseq-interactive", run, "--task=metro_t5", "--cpu"]
    words += [f"--user-dir={ROOT / 'fairseq_metro'}", f"--path={run}/checkpoint_last.pt"]
    done = subprocess.run(
        [*map(str, words), "--beam=2", "--max-len-b=6"],
        input="the old river follows the small stone\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert {"S", "H", "D"} <= {line.split("-")[0] for line in done.stdout.splitlines()}


def test_fairseq_validates_it_on_data_of_its_vocabulary(run, data):
    words = [data, f"--user-dir={ROOT / 'fairseq_metro'}", "--task=metro_t5", "--cpu"]
    words += [f"--path={run}/checkpoint_last.pt", "--valid-subset=valid", "--batch-size=4"]
    call("validate", [*words, "--num-workers=0"])


def test_a_generator_without_rtd_head_gets_one_at_its_start(theirs, tmp_path, caplog):
    state = authors.training_state(rows=rows_of(theirs, SENTINELS), rtd_head="")
    path = authors.write_checkpoint(tmp_path / "theirs.pt", state)
    import_authors.import_authors(path, tmp_path / "run", vocab=theirs)
    assert "no RTD head in it" in caplog.text
    saved = torch.load(tmp_path / "run" / "checkpoint_last.pt", weights_only=True)
    assert saved["cfg"]["model"]["rtd_head"] == "simple"
    assert (saved["model"]["rtd_head.out.weight"] == 0).all()


def test_ours_exported_for_training_comes_back_the_same(run, state, tmp_path):
    words = [str(run), "--format", "training", "--out", str(tmp_path / "out")]
    assert export_authors.main(words) == 0
    exported = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["model"]
    assert exported.keys() == state.keys()
    tokens, previous = authors.batch(len(state["encoder.embed_tokens.weight"]))
    ours.assert_same(
        ours.expected(exported, tokens, previous), ours.expected(state, tokens, previous)
    )
    first, second = read_model(run), read_model(tmp_path / "out" / "checkpoint.pt")
    assert all(torch.equal(first.state[key], value) for key, value in second.state.items())
    same = set(first.config) - {"decoder_start", "pretraining_decoder_start"}
    assert {key: first.config[key] for key in same} == {key: second.config[key] for key in same}
    import_authors.import_authors(tmp_path / "out" / "checkpoint.pt", tmp_path / "again")
    assert Vocabulary.load(tmp_path / "again" / "vocab").hash == Vocabulary.load(run / "vocab").hash


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The run in the authors' training format, whole and its main model alone."""
    folder = tmp_path_factory.mktemp("exported")
    export_authors.export_training(run, folder / "whole")
    export_authors.export_training(run, folder / "main", main_only=True)
    return folder


@pytest.mark.parametrize("part", ["whole", "main"])
def test_fairseqs_loader_reads_what_is_exported_for_training(part, exported, state):
    """In fairseq without our plugin: by weights-only loading, under the authors' names."""
    path = str(exported / part / "checkpoint.pt")
    done = spawn(
        [sys.executable, "-c",
         "import sys, torch; from fairseq import checkpoint_utils;"
         f"loaded = checkpoint_utils.load_checkpoint_to_cpu({path!r});"
         "assert 'fairseq_metro' not in sys.modules;"
         "print(loaded['cfg'].task._name, loaded['cfg'].model._name,"
         " loaded['cfg'].task.tokens_per_sample, loaded['optimizer_history'][-1]['num_updates'],"
         " len(loaded['model']), loaded['extra_state']['train_iterator']['epoch'])"]
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names, count = ["t5_metro", "t5_metro_base_rpe"], len(state)
    if part == "main":
        names = ["t5_prompt_finetuning", "transformer_t5_base_rpe"]
        count = sum(not key.startswith(("generator.", "rtd_head.")) for key in state)
    length = 9 if part == "whole" else 64  # a sentinel for each token of a block: there are nine
    assert done.stdout.split() == [*names, str(length), "0", str(count), "1"]


@pytest.mark.parametrize("part", ["whole", "main"])
def test_with_our_plugin_fairseq_opens_what_is_exported_for_training(part, exported, run, state):
    models, cfg, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(exported / part / "checkpoint.pt")]
    )
    assert (cfg.task._name, cfg.model._name) == (
        ("metro_t5", "metro_t5") if part == "whole" else ("t5", "t5_transformer")
    )
    assert task.vocabulary.hash == Vocabulary.load(run / "vocab").hash
    tokens, previous = authors.batch(len(state["encoder.embed_tokens.weight"]))
    held = {k: v for k, v in state.items() if part == "whole" or not k.startswith(("gen", "rtd"))}
    outputs = ours.outputs(models[0].eval(), tokens, previous)
    ours.assert_same(outputs, ours.expected(held, tokens, previous))


def test_an_export_without_our_vocabulary_is_imported_first(exported, theirs, tmp_path):
    shutil.copytree(theirs, tmp_path / "folder")
    path = shutil.copy(exported / "whole" / "checkpoint.pt", tmp_path / "folder")
    with pytest.raises(UserError, match=r"without a vocabulary folder of ours .* import it first"):
        checkpoint_utils.load_model_ensemble_and_task([str(path)])


@pytest.mark.parametrize("part, length", [("whole", 7), ("main", 40)])
def test_an_export_for_training_has_the_runs_block_length(run, tmp_path, part, length):
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "checkpoint_last.pt"
    saved = torch.load(path, weights_only=True)
    saved["cfg"]["task"]["tokens_per_sample"] = length
    torch.save(saved, path)
    export_authors.export_training(tmp_path / "run", tmp_path / "out", main_only=part == "main")
    cfg = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["cfg"]
    assert cfg["task"]["tokens_per_sample"] == length


def test_the_run_of_a_quickstart_is_exported_too(run, tmp_path):
    """Its checkpoints are one folder below."""
    shutil.copytree(run, tmp_path / "quick" / "checkpoints")
    for form in ("hugging-face", "training"):
        words = [str(tmp_path / "quick"), "--out", str(tmp_path / form), "--format", form]
        assert export_authors.main(words) == 0
    shutil.move(tmp_path / "quick" / "checkpoints" / "vocab", tmp_path / "quick" / "vocab")
    assert export_authors.main([str(tmp_path / "quick"), "--out", str(tmp_path / "third")]) == 0
    same = [(tmp_path / d / "pytorch_model.bin").read_bytes() for d in ("hugging-face", "third")]
    assert same[0] == same[1]
    with pytest.raises(UserError, match=r"neither a run's folder .* nor a Hugging Face folder"):
        export_authors.export_hugging_face(tmp_path, tmp_path / "fourth")


@pytest.mark.parametrize(
    "option, value, said",
    [
        ("mlm_head", "linear", "--mlm-head is linear, the authors' model has transform only"),
        ("rtd_on", "decoder", "--rtd-on is decoder"),
        ("clm_head", "projection", "--clm-head is projection"),
        ("copy_mechanism", True, "--copy-mechanism is True"),
        ("auxiliary_embed_dim", 4, "--auxiliary-embed-dim is 4"),
    ],
)
def test_what_their_model_has_no_place_for_is_not_exported(run, tmp_path, option, value, said):
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "checkpoint_last.pt"
    saved = torch.load(path, weights_only=True)
    saved["cfg"]["model"][option] = value
    torch.save(saved, path)
    with pytest.raises(UserError, match=said):
        export_authors.export_training(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export_authors.export_training(tmp_path / "run", tmp_path / "out", main_only=True)


def test_a_missing_or_foreign_vocabulary_is_one_line(checkpoint, state, theirs, tmp_path):
    alone = authors.write_checkpoint(tmp_path / "alone.pt", state)
    with pytest.raises(UserError, match=r"no sp.model and dict.txt beside it; give .* --vocab"):
        import_authors.import_authors(alone, tmp_path / "run")
    small = authors.write_checkpoint(tmp_path / "small.pt")  # fewer rows than the dictionary
    with pytest.raises(UserError, match="but the model's token table has 26 rows"):
        import_authors.import_authors(small, tmp_path / "run", vocab=theirs)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["import-vocabulary", "import", "export"])
def test_a_mistake_is_one_line(command, tmp_path, capsys):
    assert cli.main([command, str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and len(said.splitlines()) == 1
