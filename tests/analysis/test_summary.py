"""analysis/summary.py and curves.py: the files they write and what they say."""

import json

import pytest

from fairseq_metro.analysis.curves import draw_curves
from fairseq_metro.analysis.log import Log, Record, read_log
from fairseq_metro.analysis.summary import METRICS, describe, main, summarize
from fairseq_metro.common.errors import UserError
from tests.analysis.fairseq_logs import metrics_after, write_log


@pytest.fixture
def run(tmp_path):
    with open(tmp_path / "train.log", "w") as stream:
        write_log(stream)
    return tmp_path


def test_summary_holds_every_number_and_is_told_in_words(run, capsys):
    assert main([str(run)]) == 0
    summary = json.loads((run / "summary.json").read_text())
    for when, update in (("start", 0), ("end", 400)):
        expected = metrics_after(update)
        assert summary[when] == pytest.approx(expected, abs=6e-4)
        assert set(expected) == set(METRICS) - {"lm_loss", "lm_accuracy"}  # T5's
    assert summary["updates"] == summary["updates_planned"] == 400
    assert (summary["parameters"], summary["seed"]) == (1_234_567, 7)
    assert summary["tokens_per_second"] == 19_210
    assert summary["stamp"]["fairseq_metro"]
    said = capsys.readouterr().out
    assert "CLM corrects 16.0% of replaced tokens, 4.0 times the commonest-token guess." in said
    assert "RTD tells replaced tokens from original ones (AUC 0.650" in said
    assert "NOT" not in said
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(run.glob(".*.tmp"))


def test_the_log_may_be_hydras_or_named_itself(run):
    (run / "train.log").rename(run / "hydra_train.log")
    for given in (run, run / "hydra_train.log"):
        assert main([str(given)]) == 0
        assert json.loads((run / "summary.json").read_text())["updates"] == 400
        (run / "summary.json").unlink()


def test_run_that_has_not_learned_or_not_finished_is_called_so():
    start = metrics_after(0) | {"rtd_auc": 0.55}
    end = metrics_after(0) | {"rtd_auc": 0.52, "clm_accuracy_replaced": 0.06}
    log = Log(valid=[Record(100, end)], start=Record(0, start), max_update=400)
    said = describe(summarize(log))
    assert "NOT FINISHED: 400 updates are planned." in said
    assert "1.5 times the commonest-token guess: LESS THAN TWICE." in said
    assert "RTD HARDLY TELLS" in said
    assert "NOT LEARNED, the loss has not fallen: MLM 7.000 to 7.000" in said


def test_run_without_the_auxiliary_model_is_summed_up_with_what_it_has(tmp_path):
    log = Log(valid=[Record(10, {"loss": 3.0})])
    assert "loss, weighted sum" in describe(summarize(log))
    draw_curves(log, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_t5_is_summed_up_and_drawn_by_its_own_loss(tmp_path):
    values = {"loss": 5.0, "lm_loss": 5.0, "lm_accuracy": 0.12, "unigram_accuracy": 0.04}
    start = Record(0, values | {"lm_loss": 4.5})
    log = Log(valid=[Record(10, values)], start=start)
    said = describe(summarize(log))
    assert "predicts 12.0% of target tokens, 3.0 times the commonest-token guess." in said
    assert "NOT LEARNED, the loss has not fallen: LM 4.500 to 5.000" in said
    draw_curves(log, tmp_path / "t5.png")
    draw_curves(Log(valid=[Record(10, metrics_after(9))]), tmp_path / "metro.png")
    width = [
        int.from_bytes((tmp_path / f"{n}.png").read_bytes()[16:20], "big") for n in ("t5", "metro")
    ]
    assert width[0] < width[1]


def test_log_without_a_validation_is_a_user_error(tmp_path):
    with open(tmp_path / "train.log", "w") as stream:
        write_log(stream, last=50)
    with pytest.raises(UserError, match=r"train\.log: no validation in it yet"):
        summarize(read_log(tmp_path / "train.log"), tmp_path / "train.log")
