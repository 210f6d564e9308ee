"""Task KD (SMASH, equation 1): a teacher's scores of label words on a split's rows, and their use.

The teacher is prompt-fine-tuned on the same split first, over the same grid; its run that is best on
dev teaches. Its scores are kept, RUNS/<key of the run>/<name of the rows>.npy, float32 (N, L).
"""

import os
from pathlib import Path

import numpy as np
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples

FOLDER = "teacher"  # in the folder of results


class TaughtExamples(PromptedExamples):
    """Labelled rows, then rows without labels, each with the teacher's scores.

    parts: PromptedExamples of one model, the first with labels; soft: for each, scores (N, L)
    float32.
    """

    def __init__(self, parts, soft):
        first = parts[0]
        super().__init__(
            [row for part in parts for row in part.rows],
            [place for part in parts for place in part.masks],
            torch.cat([part.targets for part in parts]).tolist(),
            first.pad,
            decoder_input=first.decoder_input,
        )
        self.soft = torch.from_numpy(np.concatenate(soft))
        self.labelled = torch.arange(len(self)) < len(first)

    def collater(self, indices):
        """A batch with soft (B, L), the teacher's scores, and labelled (B,) bool."""
        taught = {"soft": self.soft[indices], "labelled": self.labelled[indices]}
        return super().collater(indices) | taught


def file_of(runs, key, name):
    """Where a run's scores of some rows are kept: Path."""
    return Path(runs) / key / f"{name}.npy"


def has_told(cell, runs):
    """Whether everything that a teacher's run is to tell is on the disk."""
    return all(file_of(runs, cell.key, name).is_file() for name, _ in cell.tells)


def keep_scores(path, scores):
    """Write scores (N, L), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    np.save(partial, scores.numpy())
    os.replace(partial, path)


def read_scores(path, rows):
    """Scores of ``rows`` rows: float32 (rows, L). Raises :class:`UserError` where they are not."""
    try:
        scores = np.load(path)
    except (OSError, ValueError):
        scores = None
    if scores is None or scores.ndim != 2 or len(scores) != rows or scores.dtype != np.float32:
        raise UserError(f"{path}: damaged, or of other rows; remove the file and run again")
    return scores
