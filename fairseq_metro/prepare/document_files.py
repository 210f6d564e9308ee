"""The output of ``documents`` while it grows: text in compressed parts, counts, hashes.

Everything is appended to a few files of one folder, however many sources there are, and nothing is
read or written twice. What was read whole of the sources stays when the command is interrupted; at
the end the parts are put in place.
"""

import json
import os
import shutil

import numpy as np
import zstandard

from fairseq_metro.prepare.intermediate.growing import GrowingFiles

SPLITS = TRAIN, VALID = "train", "valid"
PART_BYTES = 1 << 30  # compressed, after which the next source begins another part
HASHES, COUNTS = "hashes.bin", "counts.jsonl"
ENDING = ".txt.zst"
EMPTY = zstandard.compress(b"")


class DocumentFiles:
    """Parts of both splits in ``folder``, taken up where an interrupted run left them.

    settings: what the output depends on; other settings than those there begin anew.
    ``sources``: how many are in the files whole; ``facts``: what the caller counted up to then.
    """

    def __init__(self, folder, settings):
        self.folder = folder
        names = [HASHES, COUNTS, *(part_name(split, 0) for split in SPLITS)]
        self._growing = GrowingFiles(folder, names, settings, reopened=False)
        facts = self._growing.facts
        self.parts = facts.get("parts", dict.fromkeys(SPLITS, 0))
        self.facts = facts.get("facts", {})
        # Each split its own: a frame of one is not finished when one of the other begins.
        self._compressors = {split: zstandard.ZstdCompressor(level=3) for split in SPLITS}
        self._frames, self._hashes = {}, []

    @property
    def sources(self):
        """How many sources are in the files whole."""
        return self._growing.steps

    @property
    def finished(self):
        """Whether all sources are in the files."""
        return self._growing.finished

    def seen(self):
        """The hashes of all documents there: set of int."""
        return set(np.fromfile(self.folder / HASHES, dtype=np.uint64).tolist())

    def counts(self):
        """The counts of each source: list of dict."""
        with open(self.folder / COUNTS, encoding="utf-8") as stream:
            return list(map(json.loads, stream))

    def write(self, split, data):
        """Append bytes of text to a split."""
        if split not in self._frames:
            self._frames[split] = self._compressors[split].compressobj()
        self._growing.write(self._part(split), self._frames[split].compress(data))

    def add_hash(self, value):
        """Note the hash of a document of this source."""
        self._hashes.append(value)

    def end_source(self, counts, facts):
        """A source is whole: close its frames, and keep what was counted."""
        for split, frame in self._frames.items():
            self._growing.write(self._part(split), frame.flush())
        self._growing.write(HASHES, np.array(self._hashes, dtype=np.uint64))
        self._growing.write(COUNTS, json.dumps(counts).encode() + b"\n")
        for split in self._frames:
            if self._growing.size(self._part(split)) >= PART_BYTES:
                self._growing.close_file(self._part(split))
                self.parts[split] += 1
                self._growing.add(self._part(split))
        self._frames, self._hashes = {}, []
        self.facts = facts
        self._growing.step({"parts": self.parts, "facts": facts})

    def keep(self, finished=False):
        """Bring to disk what is whole."""
        self._growing.agree(finished)

    def close(self):
        """Close the files as they are."""
        self._growing.close()

    def put_in_place(self, out):
        """Move the parts to ``out/train`` and ``out/valid``; what was moved already stays there."""
        for split in SPLITS:
            (out / split).mkdir(exist_ok=True)
            for number in range(self.parts[split] + 1):
                part = self.folder / part_name(split, number)
                target = out / split / f"{number:05d}{ENDING}"
                if not part.exists():
                    continue
                if part.stat().st_size == 0:
                    part.write_bytes(EMPTY)
                os.replace(part, target)

    def remove(self):
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _part(self, split):
        return part_name(split, self.parts[split])


def part_name(split, number):
    """Name of a part in the folder that grows."""
    return f"{split}-{number:05d}{ENDING}"
