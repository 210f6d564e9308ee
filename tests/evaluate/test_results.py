"""evaluate/results.py and runner.py: which folders may go on, what is scored and written together."""

from types import SimpleNamespace

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate import ranking, runner
from fairseq_metro.evaluate.command import main
from fairseq_metro.evaluate.examples import Form
from fairseq_metro.evaluate.results import claim, write_result
from tests.evaluate.fakes import Fake

SETTINGS = {"rank_by": "sum", "model": {"name": "a", "sha256": "x"}, "stamp": {"commit": "1"}}


@pytest.fixture
def out(tmp_path):
    """An output folder with a result."""
    claim(tmp_path / "out", SETTINGS)
    write_result(tmp_path / "out", {"run": "one"})
    return tmp_path / "out"


def test_a_model_is_its_weights_and_a_stamp_decides_nothing(out):
    before = (out / "settings.json").read_bytes()
    claim(out, {**SETTINGS, "model": {"name": "moved", "sha256": "x"}, "stamp": {"commit": "2"}})
    assert (out / "settings.json").read_bytes() == before  # those of the results
    with pytest.raises(UserError, match=r"holds results of other settings .*'sha256': 'y'"):
        claim(out, {**SETTINGS, "model": {"name": "a", "sha256": "y"}})


@pytest.mark.parametrize("sizes, packs", [
    ([3, 3, 3, 3], [[3, 3], [3, 3]]), ([5, 2, 9, 1], [[5], [2, 9], [1]]), ([], []),
])  # fmt: skip
def test_runs_are_scored_together_until_there_are_many_prompts(monkeypatch, sizes, packs):
    """A file is written as soon as its pack is scored, so a kill costs one pack at most."""
    monkeypatch.setattr(runner, "PROMPTS", 5)
    runs = [(SimpleNamespace(inputs=[""] * size), "print", True) for size in sizes]
    found = [[len(one[0].inputs) for one in pack] for pack in runner._packs(iter(runs))]
    assert found == packs


def test_exemplars_leave_room_for_the_ends_of_an_input():
    one = SimpleNamespace(
        name="s", split="test", exemplars_from="train", group=None, exemplars="plain"
    )
    rows = SimpleNamespace(splits={"train"}, rows=lambda split: iter([{"a": 1}]))
    job = SimpleNamespace(shots=2, form=Form())
    found = runner._exemplars(job, one, rows, lambda: Fake(None))
    assert found.limit == Fake.max_source - 2  # <s> and </s>
    assert found.length("a few words") == 3
    one.exemplars = "flan"  # 960 of 1,024 tokens
    found = runner._exemplars(job, one, rows, lambda: Fake(None))
    assert found.limit == Fake.max_source - 64
    rows.splits = {"validation"}
    with pytest.raises(UserError, match="s: 2 shots need rows of the split 'train'"):
        runner._exemplars(job, one, rows, None)


def test_a_suite_that_says_how_many_runs_it_has_is_held_to_it(toys, tmp_path):
    suite = tmp_path / "suite.yaml"
    text = (toys / "suite.yaml").read_text()
    words = [toys / "model", "--suite", suite, "--tasks", toys / "tasks", "--device", "cpu"]
    suite.write_text(text.replace("title:", "runs: 4\ntitle:"))
    with pytest.raises(UserError, match="suite toys: 3 runs, it says 4"):
        main([str(word) for word in (*words, "--limit", "2", "--out", tmp_path / "out")])
    suite.write_text(text.replace("title:", "runs: 3\ntitle:"))
    assert main([str(word) for word in (*words, "--limit", "2", "--out", tmp_path / "two")]) == 0


def test_distinct_inputs_are_shared_out_by_their_length(monkeypatch):
    asked = []

    def shared_out(score, items, size):
        asked.append([size(item) for item in items])
        return score(items)

    monkeypatch.setattr(ranking, "shared_out", shared_out)
    requests = [ranking.Request(text, ("x", "y")) for text in ("abc", "a", "abc")]
    assert ranking.scores_of(Fake(lambda text, choice: float(len(text))), requests) == [
        [3.0, 3.0], [1.0, 1.0], [3.0, 3.0]
    ]  # fmt: skip
    assert asked == [[3, 1]]
