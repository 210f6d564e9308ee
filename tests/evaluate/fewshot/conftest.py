import pytest

from tests import fewshot


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return str(fewshot.write_model(tmp_path_factory.mktemp("model") / "run"))


@pytest.fixture(scope="session")
def splits(tmp_path_factory):
    """Folder with originals/ and kshot/, two seeds of SST-2 and one of STS-B."""
    folder = tmp_path_factory.mktemp("splits")
    fewshot.split(folder)
    fewshot.split(folder, seed=21)
    fewshot.split(folder, "stsb")
    return folder
