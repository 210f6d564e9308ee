"""What every test shares: one thread, fixed seeds, the folder of real text where there is one."""

import logging
import os
import random
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
SHARED_VARIABLE = "METRO_SHARED"

torch.set_num_threads(1)
# Machines that run tests are shared and slow at times: examples are the same every time, none is
# too slow.
hypothesis.settings.register_profile("here", deadline=None, derandomize=True)
hypothesis.settings.load_profile("here")


@pytest.fixture(scope="session")
def root():
    """The clone's folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared():
    """Folder of real text and labelled data (``METRO_SHARED``, or ``../shared``), or a skip."""
    folder = Path(os.environ.get(SHARED_VARIABLE) or ROOT.parent / "shared").resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: no {folder}/data (set {SHARED_VARIABLE} to its parent)")
    return folder


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Every test starts from the same global generators, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def levels_left_alone():
    """No test leaves a logger quieter: the next would miss the losses that fairseq logs."""
    names = ["fairseq", "fairseq_cli", "fairseq_metro"]
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    yield
    assert [logger.level for logger in loggers] == before, f"levels of {names} changed"
