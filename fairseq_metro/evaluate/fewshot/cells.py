"""Cells of the table, each one run: what decides its numbers."""

import hashlib
import json
from dataclasses import asdict, dataclass

ROWS = MAJORITY, ZERO_SHOT, HEAD, PROMPT, KD, KD_AUGMENTED = (
    "majority", "zero-shot", "head", "prompt", "kd", "kd-augmented",
)  # fmt: skip
# The majority row where no training set is at hand: of the test's own labels.
MAJORITY_OF_TEST = "majority of the test"
TAUGHT = KD, KD_AUGMENTED
# Where something is, and what else is to be kept of a run: no part of what its numbers come from.
PLACES = "model", "folder", "augmented_file", "tells"
# Fields that runs of earlier versions lack: where they say nothing, keys are the same as then.
LATER = ("label",)


@dataclass(frozen=True)
class Cell:
    """What decides a run's numbers. data, weights: hashes of the split's files and the model.

    test_rows: most test rows, 0 for all; lr, batch, steps, every: 0 where nothing is trained.
    Task KD: teachers, keys of the teacher's runs on this split, of which the best on dev teaches;
    kd_weight, kd_temperature; augmented, hash of the file of more rows. tells: of a teacher's run,
    (name, file) of the rows whose scores it keeps. label: the training set's commonest, of a majority
    row.
    """

    row: str
    model: str
    weights: str
    task: str
    k: int
    seed: int
    folder: str
    data: str
    lr: float = 0.0
    batch: int = 0
    steps: int = 0
    every: int = 0
    test_rows: int = 0
    regression: str = "gold"
    teachers: tuple = ()
    kd_weight: float = 0.0
    kd_temperature: float = 0.0
    augmented: str = ""
    augmented_file: str = ""
    tells: tuple = ()
    label: str = ""

    @property
    def facts(self):
        """The fields as a result has them: dict."""
        return {k: v for k, v in asdict(self).items() if k != "tells"}

    @property
    def key(self):
        """Identity for resuming: hexadecimal string. Paths do not belong to it."""
        decisive = {
            name: value
            for name, value in asdict(self).items()
            if name not in PLACES and (value or name not in LATER)
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:24]


def current_row(result):
    """The row of a finished cell (dict), by today's names.

    Earlier versions called a majority row so whose label was the test's commonest.
    """
    row = result.get("row")
    return MAJORITY_OF_TEST if row == MAJORITY and "label" not in result else row
