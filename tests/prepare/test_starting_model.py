"""prepare/starting_model.py: which folder and architecture fine-tuning begins with."""

import pytest
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.prepare.starting_model import main, starting_model


def write_checkpoint(folder, arch="metro_t5_tiny"):
    (folder / "vocab").mkdir(parents=True)
    state = {"cfg": {"model": {"_name": arch}}, "model": {"weight": torch.zeros(1)}}
    torch.save(state, folder / "checkpoint_last.pt")


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        ("metro_t5_tiny", "t5_transformer_tiny"),
        ("t5_transformer_small", "t5_transformer_small"),
        ("hf_t5_base", "hf_t5_base"),
    ],
)
def test_the_run_or_its_checkpoints_are_found(tmp_path, capsys, trained, given):
    folder = tmp_path / "run" / "checkpoints"
    write_checkpoint(folder, trained)
    assert starting_model(folder) == starting_model(tmp_path / "run") == (folder, given)
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out.split("\n") == [str(folder), given, ""]


def test_what_cannot_be_begun_with_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint_last\.pt in this folder"):
        starting_model(tmp_path)
    write_checkpoint(tmp_path, "transformer_lm")
    with pytest.raises(UserError, match="'transformer_lm' is none to fine-tune"):
        starting_model(tmp_path)
    (tmp_path / "vocab").rmdir()
    with pytest.raises(UserError, match="no vocab/ beside"):
        starting_model(tmp_path)
    with pytest.raises(UserError, match="give one folder"):
        main([])
