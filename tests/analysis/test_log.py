"""analysis/log.py on logs written by fairseq's own progress bar."""

import io

import pytest

from fairseq_metro.analysis.log import parse_line, parse_log, read_log
from fairseq_metro.common.errors import UserError
from tests.analysis.fairseq_logs import metrics_after, write_log


def logged(*processes):
    stream = io.StringIO()
    for process in processes:
        write_log(stream, **process)
    return stream.getvalue().splitlines(keepends=True)


def test_every_number_of_a_whole_run_is_read_back():
    log = parse_log(logged({}))
    assert [record.update for record in log.train] == list(range(20, 401, 20))
    assert [record.update for record in log.valid] == [100, 200, 300, 400]
    assert log.start.update == 0
    for record in [log.start, *log.valid]:
        expected = metrics_after(record.update)
        assert {name: record.values[name] for name in expected} == pytest.approx(expected, abs=6e-4)
    assert log.train[-1].values["mlm_loss"] == pytest.approx(metrics_after(400)["mlm_loss"])
    assert (log.parameters, log.seed, log.max_update) == (1_234_567, 7, 400)
    assert log.seconds == pytest.approx(399 / 30, abs=1)


def test_updates_repeated_after_a_resume_count_once_and_pauses_not_at_all():
    first, second = {"last": 250}, {"first": 201, "clock": 1_790_500_000}
    log = parse_log(logged(first, second))
    assert [record.update for record in log.train] == list(range(20, 401, 20))
    assert [record.update for record in log.valid] == [100, 200, 300, 400]
    assert log.start is not None
    assert log.seconds == pytest.approx((249 + 199) / 30, abs=2)


def test_later_numbers_replace_the_ones_before_a_restart():
    lines = logged({"last": 100})
    again = [line.replace('"mlm_loss": "', '"mlm_loss": "9') for line in lines]
    assert parse_log(lines + again).train[0].values["mlm_loss"] > 90


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_truncated_last_line_is_left_out(cut):
    lines = logged({"last": 400})
    lines[-1] = lines[-1][:-cut]
    assert [record.update for record in parse_log(lines).valid] in (
        [100, 200, 300],
        [100, 200, 300, 400],
    )


def test_lines_of_no_interest_and_numbers_that_are_none_are_ignored():
    noise = [
        "Traceback (most recent call last):\n",
        "2026-01-31 04:00:00 | INFO | valid | {not json\n",
        '2026-01-31 04:00:00 | INFO | valid | {"epoch": 1, "valid_loss": "3.0"}\n',
        '2026-01-31 04:00:00 | INFO | valid | {"valid_rtd_auc": "nan", "valid_num_updates": "5"}\n',
    ]
    log = parse_log(noise)
    assert len(log.valid) == 1 and "rtd_auc" not in log.valid[0].values


def test_lines_of_fairseq_hydra_train_are_read_as_well():
    line = parse_line('[2026-01-31 04:00:00,123][train_inner][INFO] - {"num_updates": "1"}')
    assert (line.logger, line.level) == ("train_inner", "INFO")
    assert line == parse_line('2026-01-31 04:00:00 | INFO | train_inner | {"num_updates": "1"}')


def test_missing_log_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"train\.log: cannot be read \(No such file"):
        read_log(tmp_path / "train.log")
