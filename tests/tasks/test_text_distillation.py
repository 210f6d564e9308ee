"""fairseq-train with --task prompt_distillation --distillation mlm: text in the place of prompts."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fairseq_metro.common.errors import user_message
from fairseq_metro.data.blocks import cut_blocks
from fairseq_metro.data.indexed import IndexedTokens
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.prepare import binarize
from fairseq_metro.tasks.text_distillation import TextDistillationTask
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.distillation import train, write_teacher
from tests.prepare import intermediate_samples
from tests.training import equal, parameters

SAVING = ["--save-interval-updates=4", "--validate-interval-updates=4"]
MLM = ["--distillation=mlm", "--tokens-per-sample=32", "--lr=1e-2", *SAVING]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Binarized text of the vocabulary that the tests' teachers have."""
    folder = tmp_path_factory.mktemp("text")
    text = intermediate_samples.write_text(folder / "train.txt", 40)
    held_out = intermediate_samples.write_text(folder / "valid.txt", 4)
    words = ["--vocab", intermediate_samples.vocabulary_folder(), "--train", text, "--valid"]
    words += [held_out, "--dest", folder / "bin", "--workers", "1"]
    assert binarize.main(list(map(str, words))) in (0, None)
    return folder / "bin"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("teacher") / "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory, data, teacher):
    save_dir = tmp_path_factory.mktemp("student")
    return train(data, save_dir, f"--teacher={teacher}", "--max-update=12", *MLM), save_dir


def test_every_term_falls_and_the_student_is_a_model(run):
    log, save_dir = run
    (start,), valid = log.lines("start"), log.lines("valid")[-1]
    for name in ("loss", "kl", "mlm_loss", "cosine_loss"):
        assert float(valid[f"valid_{name}"]) < float(start[f"start_{name}"]) - 0.02, name
    for name in ("ce", "teacher_entropy", "agreement", "mlm_accuracy"):
        assert f"start_{name}" in start
    # 5 T^2 CE + 2 MLM + cosine, T = 2.
    terms = [float(start[f"start_{name}"]) for name in ("ce", "mlm_loss", "cosine_loss")]
    assert float(start["start_loss"]) == pytest.approx(20 * terms[0] + 2 * terms[1] + terms[2])
    assert load_roberta(save_dir)[1].mask > 3
    state = torch.load(save_dir / "checkpoint_last.pt", weights_only=True)
    assert len(state["task_state"]["teachers"]) == 1


def test_a_resumed_run_equals_an_undisturbed_one_bit_by_bit(run, data, teacher, tmp_path):
    log, save_dir = run
    first = train(data, tmp_path, f"--teacher={teacher}", "--max-update=7", *MLM)
    second = train(data, tmp_path, f"--teacher={teacher}", "--max-update=12", *MLM)
    assert {**first.losses(), **second.losses()} == log.losses()
    assert equal(*(parameters(d / "checkpoint_last.pt") for d in (tmp_path, save_dir)))


@pytest.mark.parametrize("smoothing", [0.7, 0.0])
def test_rare_tokens_are_masked_more_often(data, smoothing):
    """In proportion to the count to the power of minus 0.7, as DistilBERT's."""
    vocabulary = Vocabulary.load(intermediate_samples.vocabulary_folder())
    task = SimpleNamespace(
        cfg=SimpleNamespace(mask_prob=0.15, seed=1, mask_smoothing=smoothing),
        vocabulary=vocabulary, dictionary=vocabulary.dictionary(), pretraining_decoder_start=0,
        ordinary_tokens=lambda: np.ones(len(vocabulary), dtype=bool),
    )  # fmt: skip
    lines = IndexedTokens(data / "train")
    blocks = cut_blocks(lines.sizes, 31, "complete_doc", "split")
    dataset = TextDistillationTask.make_dataset(task, lines.tokens, blocks, shuffle=True)
    counts = np.bincount(lines.tokens, minlength=len(vocabulary))
    common, rare = counts.argmax(), np.flatnonzero(counts == counts[counts > 0].min())[0]
    expected = (counts[rare] / counts[common]) ** -smoothing
    assert dataset.preference[rare] / dataset.preference[common] == pytest.approx(expected)
    chosen = np.concatenate([dataset[i]["target"] for i in range(len(dataset))])
    share = (chosen == common).sum() / counts[common]  # of its places that are masked
    assert (share < 0.1) == (smoothing > 0)


def test_what_a_user_can_get_wrong(run, data, teacher, tmp_path):
    def said(*options, distillation="mlm", **changes):
        with pytest.raises(Exception) as caught:
            train(data, tmp_path / "run", f"--distillation={distillation}", *options, **changes)
        message = user_message(caught.value)
        assert message and "\n" not in message, repr(caught.value)
        return message

    ours, short = f"--teacher={teacher}", "--tokens-per-sample=32"
    assert "it is asked on every batch: give --teacher" in said("--teacher-cache=x", short)
    assert "no teacher; give --teacher" in said(short)
    assert "give --distillation mlm" in said(ours, short, distillation="ce")
    assert "are not for --distillation mlm" in said(ours, short, "--hidden-weight=1")
    assert "than the 136 positions of --teacher" in said(ours, "--max-positions=512")
    wide = write_teacher(tmp_path / "wide", embed_dim=24)
    assert "--cosine-weight: the teacher's width is 24, the student's 16, so their layers cannot " \
        "be compared; give 0" in said(f"--teacher={wide}", short)  # fmt: skip
    both = f"--teacher={teacher}:{wide}"
    assert "--cosine-weight needs one RoBERTa in --teacher" in said(both, short)
    train(data, tmp_path / "several", both, "--cosine-weight=0", "--max-update=1", "--no-save",
          *MLM)  # fmt: skip
    assert "trained with another teacher" in said(
        f"--teacher={wide}", short, "--cosine-weight=0", f"--save-dir={run[1]}"
    )
    assert "--arch t5_transformer_tiny has not" in said(ours, short, arch="t5_transformer_tiny")
