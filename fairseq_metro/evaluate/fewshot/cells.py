"""Cells of the table, each one run: what decides its numbers."""

import hashlib
import json
from dataclasses import asdict, dataclass

HEADS = PAPER, LMBFF = "paper", "lmbff"  # forms of the row head

ROWS = MAJORITY, ZERO_SHOT, HEAD, PROMPT, KD, KD_AUGMENTED = (
    "majority", "zero-shot", "head", "prompt", "kd", "kd-augmented",
)  # fmt: skip
# Rows of the same kind that are measured otherwise: the majority of the test's own labels, where no
# training set is at hand, and head fine-tuning in LM-BFF's form.
MAJORITY_OF_TEST, HEAD_OF_LMBFF = OTHER_FORMS = "majority of the test", "head of LM-BFF"
OTHER_FORM_OF = {MAJORITY: MAJORITY_OF_TEST, HEAD: HEAD_OF_LMBFF}
TAUGHT = KD, KD_AUGMENTED
# Where something is, and what else is to be kept of a run: no part of what its numbers come from.
PLACES = "model", "folder", "augmented_file", "tells"
# Fields that runs of earlier versions lack: where they say nothing, keys are the same as then.
LATER = "label", "head"


@dataclass(frozen=True)
class Cell:
    """What decides a run's numbers. data, weights: hashes of the split's files and the model.

    test_rows: most test rows, 0 for all; lr, batch, steps, every: 0 where nothing is trained.
    Task KD: teachers, keys of the teacher's runs on this split, of which the best on dev teaches;
    kd_weight, kd_temperature; augmented, hash of the file of more rows. tells: of a teacher's run,
    (name, file) of the rows whose scores it keeps. label: the training set's commonest, of a majority
    row; head: form of a new head (scorers.py).
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
    head: str = ""

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

    Earlier versions had one form of the rows majority and head, the other of today's two.
    """
    row = result.get("row")
    earlier = (row == MAJORITY and "label" not in result) or (row == HEAD and "head" not in result)
    return OTHER_FORM_OF[row] if earlier else row
