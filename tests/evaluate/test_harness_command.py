"""The wrapper where the harness is not installed."""

import pytest

from fairseq_metro.errors import UserError
from fairseq_metro.evaluate import harness_command


def test_without_the_harness_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(harness_command, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="is not installed; pip install 'lm_eval"):
        harness_command.main(["x"])
