"""``RUN@UPDATES`` names a checkpoint without its epoch."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.inference.loading import find_checkpoint
from fairseq_metro.recipes import finetuning, smash
from fairseq_metro.trainer.checkpoint_names import kept_checkpoints, named_checkpoint


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (
        "checkpoint_1_500.pt",
        "checkpoint_3_1000.pt",
        "checkpoint_last.pt",
        "checkpoint2.pt",
    ):
        (folder / name).touch()
    return folder


def test_updates_name_a_checkpoint(run, tmp_path):
    assert named_checkpoint(f"{run}@1000") == run / "checkpoint_3_1000.pt"
    assert find_checkpoint(f"{run}@500") == run / "checkpoint_1_500.pt"
    assert list(kept_checkpoints(run)) == [500, 1000]
    inner = tmp_path / "outer"
    inner.mkdir()
    run.rename(inner / "checkpoints")
    assert named_checkpoint(f"{inner}@500") == inner / "checkpoints" / "checkpoint_1_500.pt"


def test_any_other_path_stays(run, tmp_path):
    assert named_checkpoint(run) == run
    assert named_checkpoint("nowhere") == named_checkpoint("./nowhere")
    odd = tmp_path / "model@500"
    odd.mkdir()
    assert named_checkpoint(odd) == odd


@pytest.mark.parametrize(
    "end, said",
    [("@700", "kept no checkpoint of update 700 .it kept 500, 1000."), ("x@5", "no folder .*runx")],
)
def test_a_checkpoint_that_is_not_there_is_one_line(run, end, said):
    with pytest.raises(UserError, match=said):
        named_checkpoint(f"{run}{end}")


def test_fine_tuning_and_distillation_begin_with_that_checkpoint(run, capsys):
    (run / "checkpoint_1_500.pt").write_text("")
    assert finetuning.main(["--size", "tiny", "--init-from", f"{run}@500"]) == 0
    words = capsys.readouterr().out.splitlines()
    assert words[words.index("--init-from") + 1] == str(run / "checkpoint_1_500.pt")
    assert smash.main(["--init-from", f"{run}@1000", "--setting", "rule"]) == 0
    assert str(run / "checkpoint_3_1000.pt") in capsys.readouterr().out.splitlines()
    assert finetuning.main(["--size", "tiny", "--init-from", "not/yet@9", "--plan"]) == 0
