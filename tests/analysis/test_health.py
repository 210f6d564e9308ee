"""analysis/health.py: each known failure is named with its remedy, and a healthy run is left alone."""

import math

import pytest

from fairseq_metro.analysis import health
from fairseq_metro.analysis.health import describe, diagnose, main, plateau, read_metro_log
from fairseq_metro.common.errors import UserError
from tests.analysis.fairseq_logs import CONFIG, metrics_after, write_log

UPDATES = 400


def line(start, end):
    """A value that goes from ``start`` to ``end`` over the run."""
    return lambda done: start + (end - start) * done


STUCK = dict(
    rtd_auc=line(0.5, 0.508),
    rtd_loss=lambda done: plateau(0.148),
    replace_rate=lambda done: 0.148,
    replace_rate_masked=lambda done: 0.99,
    mlm_accuracy=line(0.045, 0.051),
    mlm_loss=lambda done: 5.66 - 0.02 * done,
)
STRONG = dict(replace_rate_masked=line(0.6, 0.35), replace_rate=line(0.09, 0.05),
              rtd_loss=line(0.25, 0.15))  # fmt: skip
WEAK = dict(replace_rate_masked=line(0.999, 0.97), replace_rate=line(0.15, 0.146))
ABOVE = dict(rtd_loss=lambda done: 0.5)
RISING = dict(clm_loss=lambda done: 7 - 6 * min(done, 0.5) + 4 * max(done - 0.5, 0))
NAN = dict(clm_loss=lambda done: 7 - done if done < 0.7 else math.nan)
LEAKING = dict(rtd_recall=line(0.0, 0.2))

DECODER = CONFIG.replace("'cpu': False}", "'cpu': False}, 'model': {'rtd_on': decoder}")
SPAN = CONFIG.replace("'cpu': False}", "'cpu': False}, 'task': {'mask_pattern': span, 'x': ''}")
RATE = CONFIG.replace("'max_epoch': 0", "'lr': [0.003], 'max_epoch': 0")


def metrics(changes):
    def after(update):
        values = metrics_after(update, UPDATES)
        return values | {name: value(update / UPDATES) for name, value in changes.items()}

    return after


@pytest.fixture
def run(tmp_path):
    """Write a run's log with some metrics changed; its folder."""

    def write(changes=(), name="run", **options):
        folder = tmp_path / name
        folder.mkdir()
        with open(folder / "train.log", "w") as stream:
            write_log(stream, metrics=metrics(dict(changes)), **options)
        return folder

    return write


def found(folder, baseline=None):
    log = read_metro_log(folder / "train.log")
    other = read_metro_log(baseline / "train.log") if baseline else None
    return {warning.name: warning.text for warning in diagnose(log, other)}


def test_a_healthy_run_has_no_warning(run, capsys):
    folder = run()
    assert main([str(folder), "--strict"]) == 0
    said = capsys.readouterr().out
    assert "no known failure is seen." in said and "WARNING" not in said
    assert "update 400 of 400" in said
    assert "replaced  14.0% of all tokens, 92.4% of masked ones" in said
    assert (folder / "health.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.glob(".*.tmp"))


FAILURES = [
    (STUCK, {}, "unigram", ["flat at 5.6", "smaller --lr", "--warmup-updates", "AUC 0.50"]),
    (STUCK | dict(mlm_loss=line(6.5, 5.7)), {}, "unigram", ["still falls", "train longer"]),
    (STRONG, {}, "too strong", ["fewer and fewer", "--auxiliary-layers", "--auxiliary-temp"]),
    (dict(replace_rate_masked=lambda done: 0.25, replace_rate=lambda done: 0.04,
          rtd_loss=lambda done: 0.12), {}, "too strong", ["only 25.0%"]),
    (WEAK, {}, "too weak", ["97.", "more --auxiliary-layers"]),
    (ABOVE, {}, "RTD diverges", ["0.500 is above 0.40", "smaller --lr or --lambda-rtd"]),
    (RISING, {}, "diverging", ["CLM loss rose from 4.20 to 5.80", "smaller --lr"]),
    (RISING, dict(config=DECODER), "decoder RTD diverges", ["figure 3a", "--rtd-on encoder"]),
    (NAN, {}, "not finite", ["CLM loss is not a number", "updates 360 to 400"]),
    (NAN, dict(config=DECODER), "not finite", ["--rtd-on encoder"]),
]  # fmt: skip


@pytest.mark.parametrize("changes, options, name, words", FAILURES)
def test_a_known_failure_is_named_with_what_to_change(
    changes, options, name, words, run, capsys, monkeypatch
):
    monkeypatch.setattr(health, "draw_health", lambda *_: None)  # a second each; drawn elsewhere
    folder = run(changes, **options)
    warnings = found(folder)
    assert list(warnings) == [name]
    for word in words:
        assert word in warnings[name], warnings
    assert main([str(folder)]) == 0
    assert f"WARNING, {name}: " in capsys.readouterr().out
    assert main([str(folder), "--strict"]) == 1


def test_the_learning_rate_of_a_stuck_run_is_named(run):
    assert "(here 0.003)" in found(run(STUCK, config=RATE))["unigram"]


@pytest.mark.parametrize(
    "changes",
    [
        # A falling rate that is still high, and a low one that stands still.
        dict(replace_rate_masked=line(0.95, 0.45), replace_rate=line(0.14, 0.07),
             rtd_loss=line(0.35, 0.2)),
        dict(replace_rate_masked=lambda done: 0.36, replace_rate=lambda done: 0.055,
             rtd_loss=lambda done: 0.17),
        dict(replace_rate_masked=lambda done: 0.945),
        # Out of the unigram stage by one of the two signs.
        STUCK | dict(rtd_auc=line(0.5, 0.6), replace_rate_masked=lambda done: 0.94),
        STUCK | dict(mlm_accuracy=line(0.05, 0.1), replace_rate_masked=lambda done: 0.94),
        # The loss of always answering the base rate, and RTD's start at ln 2.
        dict(rtd_loss=lambda done: plateau(0.15 - 0.01 * done)),
        dict(rtd_loss=lambda done: 0.69 if done < 0.1 else 0.38),
        dict(clm_loss=lambda done: 5 + 0.2 * done),
    ],
)  # fmt: skip
def test_what_is_short_of_a_threshold_is_no_failure(changes, run):
    assert found(run(changes)) == {}


def test_the_first_tenth_of_a_run_is_too_early_to_judge(run, capsys):
    folder = run(STUCK, last=30, every=1, valid_every=10)
    assert main([str(folder), "--strict"]) == 0
    assert "too early to judge: 8% of the updates" in capsys.readouterr().out


def test_an_auxiliary_model_is_not_called_weak_in_the_first_half(run):
    assert found(run(WEAK, last=180, every=5)) == {}
    assert "too weak" in found(run(WEAK, name="later", last=220, every=5))


def test_leakage_is_seen_beside_a_baseline_only(run, capsys):
    leaking, honest = run(LEAKING, config=SPAN), run(name="honest")
    assert found(leaking) == {}
    text = found(leaking, honest)["leakage"]
    assert "4.0% in the baseline" in text and "--mask-pattern span does that" in text
    assert found(honest, leaking) == {}
    assert main([str(leaking), "--baseline", str(honest), "--strict"]) == 1
    assert "note: span masks leak labels" in capsys.readouterr().out


def test_runs_are_compared_after_as_many_updates(run):
    """The longer run's recall at the end of the shorter one counts: 0.1 and not 0.2."""
    leaking = run(LEAKING)
    half = run({"rtd_recall": line(0.0, 0.19)}, name="half", last=200, every=10)
    assert found(leaking, half) == {}


def test_a_run_with_validations_only_is_judged_by_them(run):
    assert "unigram" in found(run(STUCK, every=1000, valid_every=20))


def test_a_log_or_a_hydra_folder_may_be_given(run, tmp_path):
    folder = run()
    out = tmp_path / "elsewhere.png"
    assert main([str(folder / "train.log"), "--out", str(out)]) == 0
    assert out.exists() and not (folder / "health.png").exists()
    (folder / "train.log").rename(folder / "hydra_train.log")
    assert main([str(folder)]) == 0 and (folder / "health.png").exists()


def test_a_log_without_replaced_tokens_is_a_user_error(tmp_path):
    (tmp_path / "train.log").write_text(
        '2026-01-31 04:00:00 | INFO | train_inner | {"lm_loss": "3.0", "num_updates": "5"}\n'
    )
    with pytest.raises(UserError, match=r"train\.log: no replaced tokens .* --task metro_t5"):
        main([str(tmp_path)])


def test_missing_names_are_said_as_nan_and_judged_by_nothing(tmp_path):
    (tmp_path / "train.log").write_text(
        '2026-01-31 04:00:00 | INFO | train_inner | {"replace_rate": "0.1", "num_updates": "5"}\n'
    )
    log = read_metro_log(tmp_path / "train.log")
    assert diagnose(log) == []
    assert "AUC nan" in describe(log, [])
    assert main([str(tmp_path)]) == 0


def test_plateau_is_the_loss_of_always_answering_the_base_rate():
    p = 0.144
    assert plateau(p) == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p))
    assert plateau(0.0) == plateau(1.0) == 0


def test_current_values_are_medians_of_the_last_tenth():
    points = [(update, float(update)) for update in range(1, 101)]
    assert health.smoothed_at(points, 1.0) == 95.5
    assert health.smoothed_at(points, 0.5) == 45.5
    assert health.smoothed_at([(1, 3.0)], 0.5) == 3.0
