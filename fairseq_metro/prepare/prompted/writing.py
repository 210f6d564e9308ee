"""The files of one task, written chunk by chunk in flat memory."""

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from fairseq_metro.common.files import sha256_file
from fairseq_metro.data.indexed import IndexedWriter

COPY_BYTES = 1 << 20


class TaskWriter:
    """Writes ``folder/<split>.src-tgt.*`` of a task; :meth:`close` gives what is known of it."""

    def __init__(self, folder, split, vocabulary_size, with_choices):
        folder.mkdir(parents=True)
        self._prefix = folder / f"{split}.src-tgt"
        kinds = ("src", "tgt", "choices") if with_choices else ("src", "tgt")
        self._lines = {k: IndexedWriter(f"{self._prefix}.{k}", vocabulary_size) for k in kinds}
        self._gold = GoldWriter(Path(f"{self._prefix}.gold.npy")) if with_choices else None
        self.rows, self.unmatched, self.dropped = 0, 0, Counter()

    def write(self, pairs, dropped, unmatched):
        """Add a chunk's :class:`EncodedPairs`, the reasons of the rest, pairs without a gold."""
        parts = {"src": pairs.source, "tgt": pairs.target, "choices": pairs.choices}
        for kind, writer in self._lines.items():
            writer.write(parts[kind].tokens, parts[kind].sizes)
        if self._gold is not None:
            self._gold.write(pairs.gold)
        self.rows += len(pairs.source.sizes)
        self.unmatched += unmatched
        self.dropped.update(dropped)

    def close(self):
        """Finish the files; return rows, tokens, dropped by reason, and a SHA-256 over the files."""
        digest = hashlib.sha256()
        for kind, writer in self._lines.items():
            digest.update(f"{kind} {writer.close()}\n".encode())
            digest.update(f"{sha256_file(f'{self._prefix}.{kind}.idx')}\n".encode())
        if self._gold is not None:
            self._gold.close()
            digest.update(f"gold {sha256_file(self._gold.path)}\n".encode())
        return {
            "rows": self.rows,
            "choices": self._gold is not None,
            "dropped": dict(sorted(self.dropped.items())),
            "target_not_a_choice": self.unmatched,
            "source_tokens": self._lines["src"].tokens,
            "target_tokens": self._lines["tgt"].tokens,
            "sha256": digest.hexdigest(),
        }

    def abandon(self):
        """Close the files as they are, for the caller to remove."""
        for writer in self._lines.values():
            writer.abandon()
        if self._gold is not None:
            self._gold.abandon()


class GoldWriter:
    """A ``.npy`` of (rows, 2) int32 whose length is known at the end."""

    def __init__(self, path):
        self.path, self._raw = path, path.with_suffix(".raw")
        self._stream = open(self._raw, "w+b")  # noqa: SIM115

    def write(self, gold):
        """Append (n, 2) int32."""
        self._stream.write(np.ascontiguousarray(gold, np.int32).tobytes())

    def close(self):
        """Write the array file."""
        rows = self._stream.tell() // 8
        self._stream.seek(0)
        header = {"descr": "<i4", "fortran_order": False, "shape": (rows, 2)}
        with open(self.path, "wb") as whole:
            np.lib.format.write_array_header_1_0(whole, header)
            shutil.copyfileobj(self._stream, whole, COPY_BYTES)
        self.abandon()

    def abandon(self):
        """Close without an array file."""
        self._stream.close()
        self._raw.unlink(missing_ok=True)
