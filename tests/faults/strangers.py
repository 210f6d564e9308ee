"""Files that a stranger made: each would leave a folder behind if anything in it ran."""

import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch


@dataclass(frozen=True)
class Trap:
    """What is pickled as this object makes ``mark`` when it is unpickled by careless means."""

    mark: Path

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)

    @property
    def sprung(self):
        return self.mark.exists()


def checkpoint(path, trap, **state):
    """A fairseq checkpoint with the trap in it, in the format of torch.save."""
    torch.save({"model": {"weight": torch.ones(2)}, "cfg": {}, "trap": trap, **state}, path)
    return path


def old_checkpoint(path, trap):
    """The same in torch's format before 1.6, which is read by another path."""
    state = {"model": {"weight": torch.ones(2)}, "cfg": {}, "trap": trap}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def plain_pickle(path, trap):
    path.write_bytes(pickle.dumps(trap))
    return path


def zipped_pickle(path, trap):
    """A whole zip file as torch writes them, of nothing but the trap."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(trap, protocol=2))
        archive.writestr("archive/version", "3\n")
    return path


CHECKPOINTS = [checkpoint, old_checkpoint, plain_pickle, zipped_pickle]


def array(path, trap):
    """An .npy file of objects, which NumPy keeps as a pickle."""
    np.save(path, np.array([trap], dtype=object), allow_pickle=True)
    return path


def yaml_texts(mark):
    """Texts of which a careless loader makes a folder: a value, a key, a node of a list."""
    call = f"!!python/object/apply:os.mkdir ['{mark}']"
    return [
        call,
        f"version: 1\nname: {call}\n",
        f"version: 1\n? {call}\n: 1\n",
        f"version: 1\nsets: [{call}]\ntemplates: 1\n",
        f"!!python/object/new:os.mkdir ['{mark}']",
        f"a: !!python/name:os.mkdir ''\nb: {call}\n",
    ]
