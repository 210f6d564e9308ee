"""Which vocabulary belongs to a model that ``--init-from`` names, wherever its checkpoint lies."""

import pytest

from fairseq_metro.tasks.run_vocabulary import beside
from tests.prepare import samples


@pytest.mark.parametrize("vocabulary", ["vocab", "checkpoints/vocab"])
@pytest.mark.parametrize(
    "name",
    [
        "quick",
        "quick@100",
        "quick/checkpoints",
        "quick/checkpoints@100",
        "quick/checkpoints/checkpoint_last.pt",
    ],
)
def test_a_quickstarts_folder_has_the_vocabulary_of_its_checkpoint(name, vocabulary, tmp_path):
    run = tmp_path / "quick"
    (run / "checkpoints").mkdir(parents=True)
    for file in ("checkpoint_last.pt", "checkpoint_1_100.pt"):
        (run / "checkpoints" / file).touch()
    samples.vocabulary().copy_to(run / vocabulary)
    assert beside(tmp_path / name) == run / vocabulary


def test_a_model_without_one_has_none(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert beside(tmp_path) is None and beside(tmp_path / "nowhere@3") is None
