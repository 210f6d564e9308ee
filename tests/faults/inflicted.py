"""Faults at a chosen place inside a training: each is set up in the process that will suffer it."""

import os
import shutil
import signal
from pathlib import Path


def _before_update(number, act):
    """Have ``act()`` called before the update after ``number`` updates."""
    from fairseq.trainer import Trainer

    stock = Trainer.train_step

    def train_step(self, samples, raise_oom=False):
        if self.get_num_updates() == number:
            act()
        return stock(self, samples, raise_oom)

    Trainer.train_step = train_step


def kill_a_reader(number):
    """The first process that reads data for this one is killed."""

    def act():
        os.kill(children()[0], signal.SIGKILL)

    _before_update(number, act)


def children():
    """Processes that this one has started, by any of its threads."""
    own = Path(f"/proc/{os.getpid()}/task")
    return [int(p) for path in own.glob("*/children") for p in path.read_text().split()]


def remove(number, path):
    """A file or folder is gone."""

    def act():
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    _before_update(number, act)


def kill_inside_a_copy(number, share):
    """Killed within the number-th copy of a checkpoint, with this share of it written."""
    stock, copies = shutil.copyfile, []

    def copyfile(source, target, **options):
        copies.append(target)
        if len(copies) < number:
            return stock(source, target, **options)
        content = Path(source).read_bytes()
        with open(target, "wb") as stream:
            stream.write(content[: int(share * len(content))])
        os.kill(os.getpid(), signal.SIGKILL)

    shutil.copyfile = copyfile


def kill_inside_a_save(number, when):
    """Killed within the number-th save, ``before`` or ``after`` the file has its name."""
    from fairseq.file_io import PathManager

    stock, saves = PathManager.rename, []

    def rename(source, target):
        saves.append(target)
        if len(saves) < number or when == "after":
            stock(source, target)
        if len(saves) >= number:
            os.kill(os.getpid(), signal.SIGKILL)

    PathManager.rename = staticmethod(rename)
