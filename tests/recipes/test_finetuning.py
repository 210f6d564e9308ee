"""planning/finetuning*.py: METRO-T0's Table 6 and FLAN's numbers, and an update shared out."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.recipes.batches import share_sequences
from fairseq_metro.recipes.finetuning import check_folder, checked_start, describe, values, words
from fairseq_metro.recipes.finetuning_table import finetuning
from fairseq_metro.recipes.memory import resolved
from fairseq_metro.recipes.words import given_at_the_end

BASE, TINY, FLAN = finetuning("t0", "base"), finetuning("t0", "tiny"), finetuning("flan", "base")

# METRO-T0, Table 6, column by column; then what Table 5 says of the same sizes.
TABLE_6 = {
    "base": (4e-5, 125_000, 512, 256, 0.0),
    "basepp": (2e-5, 125_000, 512, 256, 0.0),
    "largepp": (2e-5, 125_000, 512, 256, 0.0),
}


@pytest.mark.parametrize("size", TABLE_6)
@pytest.mark.parametrize("model", ["metro", "t5", "hf"])
def test_the_resolved_config_has_the_papers_numbers(size, model):
    row = finetuning("t0", size, model)
    cfg = resolved(words(row, share_sequences(row, 8), "SAVE", "INIT", ["valid", "heldout"]))
    rate, updates, source, target, clip = TABLE_6[size]
    assert cfg.optimization.lr == [rate] and cfg.optimization.max_update == updates
    assert (cfg.task.max_source_length, cfg.task.max_target_length) == (source, target)
    assert cfg.optimization.clip_norm == clip
    assert (cfg.lr_scheduler._name, cfg.lr_scheduler.warmup_updates) == ("polynomial_decay", 10_000)
    assert cfg.lr_scheduler.total_num_update == updates
    assert (cfg.optimizer.adam_betas, cfg.optimizer.adam_eps) == ("(0.9, 0.98)", 1e-6)
    assert cfg.optimizer.weight_decay == 0.01
    assert (cfg.model.dropout, cfg.model.attention_dropout) == (0.1, 0.1)
    assert cfg.dataset.batch_size * cfg.optimization.update_freq[0] * 8 == 2048
    assert cfg.dataset.max_tokens is None and not cfg.task.pack
    assert cfg.dataset.valid_subset == "valid,heldout"
    assert (cfg.task.init_from, cfg.criterion.label_smoothing) == ("INIT", 0.0)


@pytest.mark.parametrize("size", ["base", "basepp", "largepp"])
def test_flans_numbers(size):
    row = finetuning("flan", size)
    cfg = resolved(words(row, share_sequences(row, 2), "SAVE", "INIT"))
    assert (cfg.optimizer._name, cfg.optimization.lr) == ("plain_adafactor", [3e-5])
    assert (cfg.lr_scheduler._name, cfg.lr_scheduler.warmup_updates) == ("fixed", 0)
    assert cfg.optimization.max_update == 30_000 and cfg.task.pack
    assert (cfg.task.max_source_length, cfg.task.max_target_length) == (1024, 256)
    assert cfg.dataset.batch_size * cfg.optimization.update_freq[0] * 2 * 1024 == 8192


def test_architectures_by_model_and_size():
    names = {(m, s): finetuning("t0", s, m).architecture for m in ("metro", "t5", "hf") for s in
             ("tiny", "basepp", "largepp")}  # fmt: skip
    assert names["metro", "largepp"] == names["t5", "largepp"] == "t5_transformer_largepp"
    assert names["metro", "tiny"] == "t5_transformer_tiny" and names["hf", "tiny"] == "hf_t5_tiny"
    assert (names["hf", "basepp"], names["hf", "largepp"]) == ("hf_t5_base", "hf_t5_large")


@pytest.mark.parametrize("row", [BASE, TINY, FLAN], ids=["base", "tiny", "flan"])
@pytest.mark.parametrize("processes", [1, 2, 8])
def test_the_sequences_of_an_update_are_the_constant(row, processes):
    batches = share_sequences(row, processes)
    assert batches.tokens <= row.micro_batch
    assert processes * batches.tokens * batches.accumulate == row.sequences
    batches = share_sequences(row, processes, batch=1)
    assert processes * batches.accumulate == row.sequences


def test_tokens_take_the_largest_batch_of_full_length_that_fits():
    width = 512 + 256
    assert share_sequences(BASE, 4, tokens=64 * width).tokens == 64
    assert share_sequences(BASE, 4, tokens=64 * width - 1).tokens == 32
    assert share_sequences(BASE, 256, tokens=10**9).tokens == 8


@pytest.mark.parametrize(
    "row, given, said",
    [
        (BASE, dict(processes=3), "3 processes cannot share an update of 2,048"),
        (FLAN, dict(processes=16), "16 processes cannot share an update of 8"),
        (BASE, dict(processes=2, batch=24), "24 x 2 must divide 2048"),
        (BASE, dict(processes=1, tokens=767), "a sequence of full length has 768"),
        (BASE, dict(processes=1, batch=2, tokens=9999), "give one of them"),
    ],
)
def test_what_does_not_divide_is_one_line(row, given, said):
    with pytest.raises(UserError, match=said) as caught:
        share_sequences(row, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "names, said",
    [
        (("t1", "base"), "recipe is 't1', must be t0, flan"),
        (("t0", "basep"), "ARCH is 'basep', must be .*; perhaps basepp"),
        (("t0", "base", "bert"), "MODEL is 'bert', must be metro, t5, hf"),
    ],
)
def test_unknown_names_are_answered_with_near_ones(names, said):
    with pytest.raises(UserError, match=said):
        finetuning(*names)


def test_an_update_is_described_and_one_that_is_not_the_papers_warned_of():
    (line,) = describe(BASE, share_sequences(BASE, 8))
    assert line == "an update: 8 processes x 16 sequences x 16 accumulated = 2,048"
    (line,) = describe(FLAN, share_sequences(FLAN, 1))
    assert line.endswith("= 8, 8,192 source tokens at most")
    _, warning = describe(TINY, share_sequences(TINY, 1))
    assert warning.startswith("warning: tiny is no size of the paper's: its update is 64")
    assert given_at_the_end(["--update-freq=3"], ("--update-freq",))[0].startswith("warning: ")


def folder(path, *splits, mixture=None):
    for split in splits:
        (path / split).mkdir(parents=True)
        (path / split / "data_cap.json").write_text("{}")
        if mixture:
            (path / split / "mixture.json").write_text(f'{{"mixture": "{mixture}"}}')
    return str(path)


def test_the_splits_that_are_there_are_validated_and_another_mixture_is_warned_of(tmp_path):
    both = folder(tmp_path / "a", "train", "valid", "heldout", "test", mixture="t0+")
    assert check_folder(both, "t0+") == (["valid", "heldout"], [])
    assert check_folder(both, "own.yaml") == (["valid", "heldout"], [])
    (warning,) = check_folder(both, "t0")[1]
    assert warning.endswith("is made of the mixture t0+, not of t0")
    none = folder(tmp_path / "b", "train")
    assert check_folder(none, "t0") == ([], [])
    options = values(BASE, share_sequences(BASE, 1), validated=[])
    assert options["--disable-validation"] is True and "--valid-subset" not in options


def test_folders_that_are_none_are_one_line(tmp_path):
    for data in (str(tmp_path / "nowhere"), folder(tmp_path / "c", "valid")):
        with pytest.raises(UserError, match="fairseq-metro prompts") as caught:
            check_folder(data)
        assert "\n" not in str(caught.value)
    for start, said in (("", "INIT is not set"), (str(tmp_path / "gone"), "no such file")):
        with pytest.raises(UserError, match=said):
            checked_start(start)
