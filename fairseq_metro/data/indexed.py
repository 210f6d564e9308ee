"""fairseq's memory-mapped token files: ``PREFIX.bin`` holds tokens, ``PREFIX.idx`` line sizes.

``.idx``, little endian: magic (9 bytes), u64 version 1, u8 type code, u64 number of lines N, then
N i32 sizes in tokens and N i64 byte offsets into ``.bin``. Each line ends in ``</s>``; a line that
is only ``</s>`` ends a document.
"""

import hashlib
import os
import struct
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import named_errors, read_json

MAGIC = b"MMIDIDX\x00\x00"
HEADER_BYTES = len(MAGIC) + 8 + 1 + 8
TYPES = {
    1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 6: np.float64, 7: np.float64,
    8: np.uint16, 9: np.uint32, 10: np.uint64,
}  # fmt: skip
STAMP = "stamp.json"
PARTIAL = ".partial"  # in a data folder: what binarize.py is writing
AGAIN = "binarize the text again with fairseq-metro binarize"


def token_type(vocabulary_size):
    """The integer type in which fairseq stores ids of a dictionary of this size."""
    if vocabulary_size < 65500:
        return np.uint16
    return np.uint32 if vocabulary_size < 4294967295 else np.int64


class IndexedTokens:
    """All lines of one split, memory-mapped read-only, checked when opened.

    ``sizes``: (lines,) int32, tokens of each line. ``tokens``: (sizes.sum(),) in the file's integer
    type, the lines end to end. Raises :class:`UserError` where a file is missing, not fairseq's
    mmap format, or cut off; again: the remedy that such a message names.
    """

    def __init__(self, prefix, again=AGAIN):
        index, data = Path(f"{prefix}.idx"), Path(f"{prefix}.bin")
        for path in (index, data):
            if not path.is_file():
                raise UserError(f"{path}: no such file; {again}")
        with open(index, "rb") as stream:
            header = stream.read(HEADER_BYTES)
        if header[: len(MAGIC)] != MAGIC:
            raise UserError(f"{index}: not an index of fairseq's mmap format; {again}")
        if len(header) < HEADER_BYTES:
            raise UserError(f"{index}: truncated, {len(header)} bytes; {again}")
        version, code, lines = struct.unpack("<QBQ", header[len(MAGIC) :])
        if version != 1 or code not in TYPES or TYPES[code] is np.float64:
            raise UserError(f"{index}: version {version}, type code {code} is unknown; {again}")
        if index.stat().st_size != HEADER_BYTES + 12 * lines:
            raise UserError(
                f"{index}: truncated, {index.stat().st_size} bytes for {lines} lines instead of "
                f"{HEADER_BYTES + 12 * lines}; {again}"
            )
        self.prefix = str(prefix)
        self.sizes = _map(index, np.int32, lines, HEADER_BYTES)
        dtype = np.dtype(TYPES[code])
        expected = int(self.sizes.sum(dtype=np.int64)) * dtype.itemsize
        if data.stat().st_size != expected:
            raise UserError(
                f"{data}: truncated or of another index, {data.stat().st_size} bytes instead of "
                f"{expected}; {again}"
            )
        self.tokens = _map(data, dtype, expected // dtype.itemsize, 0)

    def __len__(self):
        return len(self.sizes)

    def __reduce__(self):
        return IndexedTokens, (self.prefix,)


def _map(path, dtype, count, offset):
    if count == 0:
        return np.zeros(0, dtype)  # the system maps no empty range
    return np.memmap(path, dtype, mode="r", offset=offset, shape=(count,))


class IndexedWriter:
    """Writes ``PREFIX.bin`` piece by piece and, on :meth:`close`, ``PREFIX.idx``.

    Memory does not grow with the text: sizes wait in ``PREFIX.sizes``. The caller gives a prefix in
    a temporary folder, so an unfinished pair never bears its final name.
    """

    def __init__(self, prefix, vocabulary_size):
        self.dtype = np.dtype(token_type(vocabulary_size))
        self._index, self._sizes_path = Path(f"{prefix}.idx"), Path(f"{prefix}.sizes")
        self._data = open(f"{prefix}.bin", "wb")  # noqa: SIM115
        self._sizes = open(self._sizes_path, "w+b")  # noqa: SIM115
        self._digest = hashlib.sha256()
        self.lines = self.tokens = 0

    def write(self, tokens, sizes):
        """Append lines: their tokens end to end, (n,) of any integer type, and sizes, (lines,)."""
        data = np.ascontiguousarray(tokens, dtype=self.dtype).tobytes()
        with named_errors(self._data.name):
            self._data.write(data)
            self._sizes.write(np.ascontiguousarray(sizes, dtype=np.int32).tobytes())
        self._digest.update(data)
        self.lines += len(sizes)
        self.tokens += len(tokens)

    def close(self):
        """Write the index, bring everything to disk; return the SHA-256 of ``.bin``."""
        with named_errors(self._index):
            self._write_index()
        with named_errors(self._data.name):
            _sync(self._data)
            self.abandon()
        return self._digest.hexdigest()

    def _write_index(self):
        with open(self._index, "wb") as index:
            index.write(MAGIC + struct.pack("<QBQ", 1, _code(self.dtype), self.lines))
            self._sizes.seek(0)
            while block := self._sizes.read(1 << 20):
                index.write(block)
            self._sizes.seek(0)
            offset = 0
            while block := self._sizes.read(1 << 20):
                ends = offset + np.cumsum(np.frombuffer(block, np.int32), dtype=np.int64)
                starts = np.concatenate(([offset], ends[:-1]))
                index.write((starts * self.dtype.itemsize).astype(np.int64).tobytes())
                offset = int(ends[-1])
            _sync(index)

    def abandon(self):
        """Close the files without an index; what was written stays for the caller to remove."""
        self._data.close()
        self._sizes.close()
        self._sizes_path.unlink(missing_ok=True)


def _sync(stream):
    stream.flush()
    os.fsync(stream.fileno())


def _code(dtype):
    return next(code for code, kind in TYPES.items() if np.dtype(kind) == dtype)


def read_stamp(folder):
    """The stamp of a data folder. Raises :class:`UserError` where there is none, or it is damaged.

    ``vocabulary``: the vocabulary's hash. ``data``: hash over the splits. ``splits``: per split
    ``lines``, ``documents``, ``tokens``, ``unknown``, ``sha256`` of ``.bin``, for train also
    ``commonest_token``.
    """
    path = Path(folder) / STAMP
    if not path.is_file():
        raise UserError(
            f"{path}: no such file, so this is no finished data folder; make one with "
            "fairseq-metro binarize"
        )
    stamp = read_json(path)
    if not isinstance(stamp, dict) or not {"vocabulary", "data", "splits"} <= stamp.keys():
        raise UserError(f"{path}: not a stamp of fairseq-metro binarize; {AGAIN}")
    return stamp
