"""fairseq-train with --soft-prompt-tokens, and what loads its checkpoints."""

import shutil
from types import SimpleNamespace

import pytest
import torch

import fairseq_metro
from fairseq_metro.common.errors import UserError, user_message
from fairseq_metro.interchange.hf_t5 import read_run
from fairseq_metro.interchange.model import read_model
from fairseq_metro.models.metro_t5 import MetroT5Config
from fairseq_metro.models.metro_t5.architectures import ARCHITECTURES
from fairseq_metro.recipes.finetuning_table import finetuning
from fairseq_metro.recipes.table import SIZES
from fairseq_metro.tasks.soft_prompts import refuse_unfit_options
from fairseq_metro.trainer.checkpoints import read_facts
from tests import prompted
from tests.tasks.test_prompt_finetuning import (
    BIN,
    NAME,
    PLUGIN,
    finetune,
    parameters,
    scores,
)
from tests.training import equal, spawn

N = 6
PROMPT = [f"--soft-prompt-tokens={N}", "--lr=0.1", "--save-interval-updates=4"]
BOTH = "--valid-subset=valid,heldout"


@pytest.fixture(scope="module")
def prompts(tmp_path_factory, vocabulary):
    return prompted.folder(tmp_path_factory.mktemp("prompts") / "data", vocabulary)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, prompts):
    """A run of ten updates, all parameters trained."""
    save_dir = tmp_path_factory.mktemp("whole")
    finetune(prompts, save_dir, "--max-update=10", "--disable-validation")
    return save_dir


@pytest.fixture(scope="module")
def run(tmp_path_factory, prompts, whole):
    """Twenty updates of a soft prompt before it, dropout on."""
    save_dir = tmp_path_factory.mktemp("soft")
    options = [f"--init-from={whole}", *PROMPT, BOTH, "--max-update=20"]
    return finetune(prompts, save_dir, *options), save_dir


def test_the_prompt_alone_is_trained_and_saved(run, whole):
    log, save_dir = run
    assert any(f"num. trained: {N * 16}" in text.replace(",", "") for _, text in log.records)
    state = torch.load(save_dir / "checkpoint_last.pt", weights_only=True)
    assert state["model"].keys() == {"soft_prompt", "frozen_model"}
    assert state["model"]["soft_prompt"].shape == (N, 16)
    (moments,) = state["last_optimizer_state"]["state"].values()
    assert moments["exp_avg"].numel() == N * 16
    small, large = ((d / "checkpoint_last.pt").stat().st_size for d in (save_dir, whole))
    assert large > 200_000 > 6 * small
    assert read_facts(save_dir / "checkpoint_last.pt")["cfg"]["model"]["soft_prompt_tokens"] == N
    first, last = log.lines("start")[0]["start_nll_loss"], log.lines("valid")[-1]["valid_nll_loss"]
    assert float(last) < float(first)  # how far it comes is tested on the model alone


@pytest.mark.parametrize("source", [True, False], ids=["with --init-from", "without"])
def test_a_resumed_run_equals_an_undisturbed_one(source, run, prompts, whole, tmp_path):
    begin = [f"--init-from={whole}"]
    finetune(prompts, tmp_path, *begin, *PROMPT, BOTH, "--max-update=9")
    log = finetune(prompts, tmp_path, *(begin * source), *PROMPT, BOTH, "--max-update=20")
    assert min(log.losses()) == 10
    ours, theirs = (parameters(d / "checkpoint_last.pt") for d in (tmp_path, run[1]))
    assert equal(ours, theirs)
    assert scores(tmp_path, "valid", 20) == scores(run[1], "valid", 20)


def test_half_precision_resumes_at_the_float32_prompt(prompts, whole, tmp_path):
    options = [f"--init-from={whole}", *PROMPT, "--bf16", "--disable-validation"]
    options += ["--dropout=0", "--attention-dropout=0"]
    finetune(prompts, tmp_path / "a", *options, "--max-update=8")
    finetune(prompts, tmp_path / "b", *options, "--max-update=5")
    log = finetune(prompts, tmp_path / "b", *options, "--max-update=8")
    assert list(log.losses()) == [6, 7, 8]
    a, b = (parameters(tmp_path / d / "checkpoint_last.pt") for d in "ab")
    assert equal(a, b) and not torch.equal(a["soft_prompt"], a["soft_prompt"].bfloat16().float())


def test_a_soft_prompt_answers_with_the_frozen_model_that_the_user_names(run, whole):
    _, save_dir = run
    with pytest.raises(Exception) as caught:
        fairseq_metro.load(save_dir)
    assert f"trained with, then {str(whole)!r}, by --frozen-model" in user_message(caught.value)
    predictor = fairseq_metro.load(save_dir, frozen_model=whole)
    assert tuple(predictor.model.soft_prompt.shape) == (N, 16)
    (numbers,) = predictor.score_choices(["the old river . is the river old ?"], ["yes", "no"])
    assert len(numbers) == 2 and all(number < 0 for number in numbers)
    assert len(predictor.generate(["the old river . is the river old ?"], max_len_b=6)) == 1


def test_fairseq_validate_gives_the_training_runs_own_loss(run, prompts, whole):
    """From a checkpoint and a command line that names the frozen model alone."""
    log, save_dir = run
    words = [f"{BIN}/fairseq-validate", prompts, PLUGIN, NAME, "--cpu", "--log-format=json"]
    words += [f"--path={save_dir}/checkpoint_last.pt", "--valid-subset=valid", "--max-tokens=600"]
    words += [f"--init-from={whole}"]
    done = spawn(words)
    assert done.returncode == 0, done.stderr
    assert f'"valid_nll_loss": "{log.lines("valid")[-1]["valid_nll_loss"]}"' in (
        done.stdout + done.stderr
    )


# Mistakes


def test_what_needs_a_model_is_told_which(run, whole):
    for read in (read_model, read_run):
        with pytest.raises(UserError, match=f"no model; give the model .* {whole}$"):
            read(run[1])


def message_of(*words):
    with pytest.raises(Exception) as caught:  # fairseq may wrap ours in its own
        finetune(*words, "--max-update=1", "--disable-validation", "--no-save")
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    return message


@pytest.mark.parametrize(
    "options, expected",
    [
        (["--soft-prompt-tokens=3"], "give it with --init-from"),
        (["--soft-prompt-tokens=3", "--pack"], "--soft-prompt-tokens and --pack"),
        (["--soft-prompt-tokens=17"], "make 65 positions"),
        (["--soft-prompt-tokens=-1", "--init-from=WHOLE"], "is -1, must be above 0"),
    ],
)
def test_options_that_exclude_it_are_one_line(options, expected, prompts, whole, tmp_path):
    options = [option.replace("WHOLE", str(whole)) for option in options]
    assert expected in message_of(prompts, tmp_path, *options)


def test_a_run_goes_on_as_it_began(run, whole, prompts, tmp_path):
    for source, options, said in (
        (run[1], [], f"with --soft-prompt-tokens {N}, but here it is 0"),
        (run[1], ["--soft-prompt-tokens=4"], "but here it is 4"),
        (whole, ["--soft-prompt-tokens=4"], "with --soft-prompt-tokens 0, but here it is 4"),
    ):
        shutil.copytree(source, tmp_path / "run")
        assert said in message_of(prompts, tmp_path / "run", *options)
        shutil.rmtree(tmp_path / "run")


def test_another_frozen_model_is_refused(run, prompts, whole, tmp_path):
    other = shutil.copytree(whole, tmp_path / "other")
    state = torch.load(other / "checkpoint_last.pt", weights_only=True)
    state["model"]["decoder.layers.0.ffn.fc1.bias"][0] += 1e-3
    torch.save(state, other / "checkpoint_last.pt")
    copied = shutil.copytree(run[1], tmp_path / "run")
    said = message_of(prompts, copied, *PROMPT, f"--init-from={other}")
    assert "the checkpoint's soft prompt was trained with the model" in said
    assert "give that model with --init-from" in said


@pytest.mark.parametrize("tokens, length, remedy", [
    (20, 488, None), (20, 489, "give --max-source-length 488 or less"), (24, 488, None),
    (508, 8, "shorten the prompt"),
])  # fmt: skip
def test_prompt_and_source_share_the_positions(tokens, length, remedy):
    options = SimpleNamespace(soft_prompt_tokens=tokens, max_source_length=length, pack=False)
    cfg = SimpleNamespace(max_positions=512)
    if remedy is None:
        return refuse_unfit_options(options, cfg)
    with pytest.raises(UserError, match=remedy) as caught:
        refuse_unfit_options(options, cfg)
    assert f"--soft-prompt-tokens {tokens} and --max-source-length {length}" in str(caught.value)


@pytest.mark.parametrize("size", SIZES)
def test_the_recipes_prompt_fits_every_size(size):
    row = finetuning("soft_prompt", size)
    options = SimpleNamespace(
        soft_prompt_tokens=row.soft_prompt, max_source_length=row.source, pack=row.pack
    )
    positions = ARCHITECTURES[size].get("max_positions", MetroT5Config.max_positions)
    refuse_unfit_options(options, SimpleNamespace(max_positions=positions))
