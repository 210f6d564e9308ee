"""fairseq-train with --task prompt_distillation: online, cached, ablations, resume, mistakes."""

import json
import shutil

import pytest
import torch

from fairseq_metro.common.errors import user_message
from fairseq_metro.data.teacher_targets import TAGS
from fairseq_metro.interchange.model import HF_T5, MAIN
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.interchange.teachers import parameters_hash
from fairseq_metro.prepare import teacher_cache
from tests.distillation import make_data, train, write_teacher
from tests.training import equal, parameters

NAMES = {"loss", "ce", "kl", "teacher_entropy", "agreement"}
SAVING = ["--save-interval-updates=4", "--validate-interval-updates=4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("teacher") / "run")


@pytest.fixture(scope="module")
def cache(tmp_path_factory, data, teacher):
    dest = tmp_path_factory.mktemp("cache") / "vectors"
    assert teacher_cache.main([str(data), "--teacher", str(teacher), "--dest", str(dest)]) == 0
    return dest


@pytest.fixture(scope="module")
def run(tmp_path_factory, data, teacher):
    """Twelve updates, online, with dropout: the log and the run's folder."""
    save_dir = tmp_path_factory.mktemp("student")
    return train(data, save_dir, f"--teacher={teacher}", "--max-update=12", "--lr=1e-2",
                 *SAVING), save_dir  # fmt: skip


def test_the_student_comes_closer_to_the_teacher(run, data, teacher):
    log, save_dir = run
    (start,), valid = log.lines("start"), log.lines("valid")
    assert {f"start_{name}" for name in NAMES} <= set(start)
    assert float(valid[-1]["valid_kl"]) < start["start_kl"] - 0.1
    for line, prefix in ((start, "start_"), (valid[-1], "valid_")):
        ce, kl, entropy = (float(line[prefix + n]) for n in ("ce", "kl", "teacher_entropy"))
        assert kl == pytest.approx(ce - entropy, abs=1e-4) and kl > 0
    # The teacher is in no checkpoint; the student's folder is a model with its tokenizer.
    state = torch.load(save_dir / "checkpoint_last.pt", weights_only=True)
    assert not any("teacher" in key for key in state["model"]) and not state.get("criterion")
    assert state["task_state"]["teachers"] == [parameters_hash(load_roberta(teacher)[0])]
    model, tokenizer = load_roberta(save_dir)
    assert equal(model.state_dict(), state["model"]) and tokenizer.mask > 3


def test_a_resumed_run_equals_an_undisturbed_one_bit_by_bit(run, data, teacher, tmp_path):
    log, save_dir = run
    options = [f"--teacher={teacher}", "--lr=1e-2", *SAVING]
    first = train(data, tmp_path, "--max-update=7", *options)
    second = train(data, tmp_path, "--max-update=12", *options)
    assert {**first.losses(), **second.losses()} == log.losses()
    assert min(second.losses()) == 8
    assert equal(*(parameters(d / "checkpoint_last.pt") for d in (tmp_path, save_dir)))


def test_what_the_cache_says_trains_as_the_teacher_does(run, data, cache, tmp_path):
    log = train(data, tmp_path, f"--teacher-cache={cache}", "--max-update=12", "--lr=1e-2", *SAVING)
    (start,), (online,) = log.lines("start"), run[0].lines("start")
    for name in ("start_ce", "start_kl", "start_teacher_entropy"):
        assert float(start[name]) == pytest.approx(float(online[name]), abs=1e-3)
    for update, loss in run[0].losses().items():
        assert float(log.losses()[update]) == pytest.approx(float(loss), abs=2e-3)


def test_top_k_trains_too_and_is_no_farther_than_the_whole_distribution(
    run, data, teacher, tmp_path
):
    dest = tmp_path / "top"
    words = [str(data), "--teacher", str(teacher), "--cache", "top-k", "--k", "5"]
    teacher_cache.main([*words, "--dest", str(dest)])
    log = train(data, tmp_path / "run", f"--teacher-cache={dest}", "--max-update=2", "--no-save")
    (start,), (online,) = log.lines("start"), run[0].lines("start")
    assert 0 < float(start["start_kl"]) < float(online["start_kl"])
    assert float(start["start_agreement"]) == pytest.approx(float(online["start_agreement"]))
    message = message_of(data, tmp_path, f"--teacher-cache={dest}", "--temperature=2")
    assert "--temperature 2.0: the cache holds" in message


def test_a_student_that_is_the_teacher_has_nothing_to_learn(data, teacher, tmp_path):
    sizes = ["--embed-dim=16", "--ffn-dim=24", "--attention-heads=2", "--encoder-layers=2",
             "--max-positions=136"]  # fmt: skip
    log = train(data, tmp_path, f"--teacher={teacher}", f"--init-from={teacher}", "--dropout=0",
                "--attention-dropout=0", "--hidden-weight=1", "--attention-weight=1",
                "--max-update=1", "--no-save", sizes=sizes)  # fmt: skip
    (start,) = log.lines("start")
    assert float(start["start_kl"]) == pytest.approx(0, abs=1e-5)
    assert float(start["start_agreement"]) == 1
    assert float(start["start_hidden_loss"]) == pytest.approx(0, abs=1e-8)
    assert float(start["start_attention_loss"]) == pytest.approx(0, abs=1e-8)
    (line,) = log.lines("train_inner")
    assert float(line["gnorm"]) < 1e-3


def test_layer_losses_are_logged_and_fall(data, teacher, tmp_path):
    log = train(data, tmp_path, f"--teacher={teacher}", "--hidden-weight=1",
                "--attention-weight=0.1", "--max-update=12", "--lr=1e-2", "--no-save",
                "--validate-interval-updates=12")  # fmt: skip
    (start,), (end,) = log.lines("start"), log.lines("valid")[-1:]
    for name in ("hidden_loss", "attention_loss"):
        assert float(end[f"valid_{name}"]) < float(start[f"start_{name}"]), name


def test_rule_labels_need_no_teacher(data, tmp_path):
    log = train(data, tmp_path, "--distillation=rule", "--max-update=10", "--lr=1e-2", "--no-save")
    losses = list(map(float, log.losses().values()))
    assert losses[0] == pytest.approx(1.1, abs=0.2) and losses[-1] < losses[0] + 0.1
    assert "start_rule_accuracy" in log.lines("start")[0]


def test_several_teachers_are_averaged(run, data, teacher, tmp_path):
    other = write_teacher(tmp_path / "other", seed=1)
    log = train(data, tmp_path / "run", f"--teacher={teacher}:{other}", "--max-update=1",
                "--no-save")  # fmt: skip
    both, one = log.lines("start")[0], run[0].lines("start")[0]
    # Entropy is concave: a mixture is less sure than its parts on average.
    assert float(both["start_teacher_entropy"]) > float(one["start_teacher_entropy"])
    twice = train(data, tmp_path / "twice", f"--teacher={teacher}:{teacher}", "--max-update=1",
                  "--no-save")  # fmt: skip
    assert float(twice.lines("start")[0]["start_ce"]) == pytest.approx(float(one["start_ce"]))


T5_SIZES = ["--embed-dim=16", "--ffn-dim=24", "--attention-heads=2", "--encoder-layers=1",
            "--decoder-layers=1", "--max-positions=136", "--relative-position-buckets=8",
            "--relative-position-max-distance=20"]  # fmt: skip


@pytest.fixture(scope="module")
def t5_data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("t5"), "--kind", "t5")


@pytest.mark.parametrize(
    ("kind", "options", "more"),
    [
        (MAIN, {"arch": "t5_transformer_tiny", "sizes": T5_SIZES}, {}),
        (HF_T5, {"arch": "hf_t5_small", "sizes": [*T5_SIZES, "--head-dim=8"]}, {}),
        # A student of the one kind, a teacher of the other, with an output layer of its own.
        (HF_T5, {"arch": "t5_transformer_tiny", "sizes": T5_SIZES}, {"untied_output": True}),
    ],
)
def test_t5_learns_the_second_token(t5_data, kind, options, more, tmp_path):
    teacher = write_teacher(tmp_path / "teacher", kind=kind, **more)
    log = train(t5_data, tmp_path / "run", f"--teacher={teacher}", "--max-update=12", "--lr=1e-2",
                *SAVING, **options)  # fmt: skip
    assert float(log.lines("valid")[-1]["valid_kl"]) < log.lines("start")[0]["start_kl"] - 0.1
    dest = tmp_path / "cache"
    teacher_cache.main([str(t5_data), "--teacher", str(teacher), "--dest", str(dest)])
    cached = train(t5_data, tmp_path / "cached", f"--teacher-cache={dest}", "--max-update=1",
                   "--no-save", **options)  # fmt: skip
    for name in ("start_ce", "start_kl", "start_teacher_entropy"):
        online = float(log.lines("start")[0][name])
        assert float(cached.lines("start")[0][name]) == pytest.approx(online, abs=1e-3)
    assert "of kind t5" in message_of(t5_data, tmp_path / "wrong", f"--teacher={teacher}")


def test_a_decoder_that_began_with_another_symbol_is_refused(t5_data, tmp_path):
    options = {"arch": "t5_transformer_tiny", "sizes": T5_SIZES}
    plain = write_teacher(tmp_path / "plain", kind=MAIN)
    said = message_of(t5_data, tmp_path / "run", f"--teacher={plain}",
                      "--pretraining-decoder-start=</s>", **options)  # fmt: skip
    assert "--pretraining-decoder-start </s>: prompts are asked after <mask>" in said
    other = write_teacher(tmp_path / "other", kind=MAIN, pretraining_decoder_start="</s>")
    said = message_of(t5_data, tmp_path / "run", f"--teacher={other}", **options)
    assert "its decoder began with </s>, but the data's vocabulary says <mask>" in said


def message_of(data, save_dir, *options, **changes):
    """The line that a failing run would print."""
    with pytest.raises(Exception) as caught:
        train(data, save_dir, *options, **changes)
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    return message


def test_what_a_user_can_get_wrong(run, data, teacher, cache, tmp_path):
    def said(*options, **changes):
        return message_of(data, tmp_path / "run", *options, **changes)

    assert "no teacher; give --teacher" in said()
    assert "no such file" in said(f"--teacher={tmp_path / 'nowhere'}")
    assert "no such file, so no finished cache" in said(f"--teacher-cache={tmp_path}")
    assert "must be above 0" in said(f"--teacher={teacher}", "--temperature=0")
    assert "has no teacher; leave" in said(f"--teacher={teacher}", "--distillation=rule")
    assert "the data folder holds prompts; give --distillation ce or rule" in said(
        "--distillation=mlm"
    )
    assert "--mask-prob is for text" in said(f"--teacher={teacher}", "--mask-prob=0.3")
    assert "--ce-weight is for --distillation mlm" in said(f"--teacher={teacher}", "--ce-weight=1")
    assert "no --hidden-weight" in said("--distillation=rule", "--hidden-weight=1")
    assert "not a cache" in said(f"--teacher-cache={cache}", "--hidden-weight=1")
    assert "give --arch roberta_mlm_distil" in said(
        f"--teacher={teacher}", arch="t5_transformer_tiny"
    )
    assert "has 40 positions" in said(f"--teacher={teacher}", "--max-positions=40")
    assert "give --criterion prompt_distillation" in said(f"--teacher={teacher}", "--criterion=t5")


def test_layers_that_do_not_pair_are_refused(data, tmp_path):
    wide = write_teacher(tmp_path / "wide", embed_dim=24, attention_heads=4, encoder_layers=3)
    narrow = write_teacher(tmp_path / "narrow", encoder_layers=3)
    said = message_of(data, tmp_path / "run", f"--teacher={wide}", "--hidden-weight=1")
    assert "width is 24, the student's 16" in said
    said = message_of(data, tmp_path / "run", f"--teacher={wide}", "--attention-weight=1")
    assert "number of attention heads is 4, the student's 2" in said
    said = message_of(data, tmp_path / "run", f"--teacher={narrow}", "--attention-weight=1",
                      "--encoder-layers=2")  # fmt: skip
    assert "3 layers, no multiple of the student's 2" in said


def test_another_teacher_is_refused(run, data, teacher, cache, tmp_path):
    other = write_teacher(tmp_path / "other", seed=1)
    said = message_of(data, tmp_path, f"--teacher={other}", f"--teacher-cache={cache}")
    assert "a cache of teacher" in said and "give its own cache" in said
    said = message_of(data, run[1], f"--teacher={other}", "--max-update=13")
    assert "trained with another teacher" in said
    forged = shutil.copytree(cache, tmp_path / "forged")
    for name in ("data", "vocabulary", "template"):
        tags = json.loads((cache / TAGS).read_text())
        (forged / TAGS).write_text(json.dumps(tags | {name: "0" * 64}))
        said = message_of(data, tmp_path / "run", f"--teacher-cache={forged}")
        assert f"made with {name} '0000" in said and "run fairseq-metro cache-teacher" in said
