"""Which model is evaluated: its file, its fingerprint, and how it is loaded."""

import hashlib
import json
import re
from pathlib import Path

import torch

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file
from fairseq_metro.inference.loading import find_checkpoint
from fairseq_metro.interchange.hugging_face import is_release
from fairseq_metro.trainer.checkpoints import LAST, read_facts

_NUMBERED = re.compile(r"checkpoint(_\d+)?_?\d+\.pt")
_OF_A_MODEL = (".json", ".safetensors", ".bin", ".model", ".txt")


def model_facts(source):
    """{"name", "path", "sha256"} of what :func:`fairseq_metro.load` would load. :class:`UserError`."""
    source = Path(source)
    if source.is_dir() and is_release(source):
        files = sorted(path for path in source.iterdir() if path.suffix in _OF_A_MODEL)
        content = json.dumps([[path.name, sha256_file(path)] for path in files])
        digest = hashlib.sha256(content.encode()).hexdigest()
    else:
        digest = sha256_file(find_checkpoint(source))
    return {"name": source.resolve().name, "path": str(source), "sha256": digest}


def load_model(source, device=None, dtype="float32", frozen_model=None):
    """The Predictor of a model, its weights in ``dtype``, torch's name of one.

    frozen_model: of a soft prompt, the model it was trained with.
    """
    predictor = fairseq_metro.load(source, device, frozen_model)
    predictor.model.to(getattr(torch, dtype))
    predictor.warn_of_unknown = False  # the report tells it, set by set
    return predictor


def checkpoints_of(run):
    """All checkpoints of a run in order of their updates: list of (updates, path).

    ``checkpoint_last.pt`` stands for its own number of updates, where no other file has them.
    Raises :class:`UserError` for a folder without numbered checkpoints.
    """
    folder = Path(run)
    if not any(_NUMBERED.fullmatch(path.name) for path in folder.glob("*.pt")):
        folder = find_checkpoint(run).parent
    checkpoints = {}
    for path in sorted(folder.glob("*.pt")):
        if _NUMBERED.fullmatch(path.name) or path.name == LAST:
            updates = read_facts(path)["num_updates"]
            if updates not in checkpoints or path.name != LAST:
                checkpoints[updates] = path
    if not checkpoints:
        raise UserError(f"{folder}: no checkpoints in it; give a run's folder")
    return sorted(checkpoints.items())
