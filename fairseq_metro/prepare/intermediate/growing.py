"""Files that grow together and are truncated to their last consistent state on resumption.

``progress.json`` says how many steps are in the files, how long each was then, and what the caller
counted. What a killed run wrote after that is cut off, so the bytes are those of a run without stop.
"""

import copy
import os
import time

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, write_json

PROGRESS = "progress.json"
EVERY = 5.0  # seconds between agreements


class GrowingFiles:
    """Files ``names`` of ``folder``, appended to, and how far they are.

    settings: a dict; other settings than those of the progress there start the files anew.
    reopened: whether they are to be there even when they are finished; else somebody may have moved
    them.
    """

    def __init__(self, folder, names, settings, reopened=True):
        self._path, self._settings = folder / PROGRESS, settings
        folder.mkdir(parents=True, exist_ok=True)
        state = read_json(self._path) if self._path.exists() else {}
        if state.get("settings") != settings:
            state = {"steps": 0, "facts": {}, "ends": dict.fromkeys(names, 0)}
        self.finished = state.get("finished", False)
        self._folder, self._streams, self._closed = folder, {}, {}
        for name, end in state["ends"].items() if reopened or not self.finished else ():
            self._streams[name] = self._open(folder / name, end)
        self._last = state["steps"], state["ends"], state["facts"]
        self._agreed = time.monotonic()

    @staticmethod
    def _open(path, end):
        stream = open(path, "ab")  # noqa: SIM115
        if stream.tell() < end:
            stream.close()
            raise UserError(f"{path}: shorter than its progress says; remove the folder it is in")
        stream.truncate(end)
        stream.seek(end)  # or tell() counts what was cut off
        return stream

    @property
    def steps(self):
        """How many steps are in the files whole."""
        return self._last[0]

    @property
    def facts(self):
        """What was counted up to the last whole step: a dict of the caller's own."""
        return copy.deepcopy(self._last[2])

    def add(self, name):
        """Begin another file, or one anew of which nothing was agreed."""
        if name not in self._streams:
            self._streams[name] = self._open(self._folder / name, 0)

    def close_file(self, name):
        """Bring a file to disk that nothing will be appended to any more."""
        stream = self._streams.pop(name)
        self._closed[name] = stream.tell()
        stream.flush()
        os.fsync(stream.fileno())
        stream.close()

    def size(self, name):
        """How many bytes a file has, with those that are still to be agreed on."""
        return self._closed[name] if name in self._closed else self._streams[name].tell()

    def write(self, name, data):
        """Append bytes, or the bytes of an array, to a file."""
        self._streams[name].write(data)

    def step(self, facts):
        """Count a step whose bytes are all written; agree on it if the last time was long ago."""
        ends = self._closed | {name: stream.tell() for name, stream in self._streams.items()}
        self._last = self.steps + 1, ends, copy.deepcopy(facts)  # at once: Ctrl-C may come between
        if time.monotonic() - self._agreed >= EVERY:
            self.agree()

    def agree(self, finished=False):
        """Bring everything to disk, then say what is there up to the last whole step."""
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())
        steps, ends, facts = self._last
        self.finished = finished
        write_json(
            self._path,
            {"settings": self._settings, "steps": steps, "finished": finished, "ends": ends,
             "facts": facts},
        )  # fmt: skip
        self._agreed = time.monotonic()

    def close(self):
        """Close the files as they are."""
        for stream in self._streams.values():
            stream.close()
