"""Opening a file whatever it is packed in: compressed, an archive, one inside the other.

The first bytes decide; no name does. An archive's files come one after the other, in its order.
"""

import contextlib
import os
import stat
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.kinds import (
    ARCHIVES,
    COMPRESSIONS,
    HEAD_BYTES,
    TAR,
    ZIP,
    packing_of,
    plain_name,
    unread_kind,
)
from fairseq_metro.common.sources.streams import Stream, decompressed, readable

STANDARD_INPUT = "-"
DEEPEST = 8  # OpenWebText is a tar in xz in a tar in xz
SPOOL_BYTES = 1 << 26


@dataclass(frozen=True)
class Member:
    """A file as it is when all packing is taken off.

    place: for messages, ``a.tar.xz`` or, of a file in an archive, ``a.tar.xz: b/c.txt``; path: what
    was opened; name: its own name without endings of packing, in lower case; packing: how it was
    packed, outermost first; stream: its bytes; stored: the opened file, whose position shows
    progress, None for the standard input.
    """

    place: str
    path: str
    name: str
    packing: tuple
    stream: Stream
    stored: object = None


def check_readable(path, regular=False):
    """Raise :class:`UserError` unless ``path`` can be read as a file, or is the standard input.

    A pipe that a shell made (``<(zcat …)``) is read as it comes, once; ``regular``: not even that,
    where a file is read more than once. Named pipes and devices are refused: reading one may never
    end, nor even begin.
    """
    path = str(path)
    if path == STANDARD_INPUT:
        if regular:
            raise UserError("-: standard input cannot be read twice; give files")
        return
    with readable(path):
        mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise UserError(f"{path}: is a folder; name the files in it")
    if stat.S_ISFIFO(mode) and (regular or not _of_a_shell(path)):
        remedy = "give a file" if regular else "give a file, or - for standard input"
        raise UserError(f"{path}: is a pipe, not a file; {remedy}")
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode) and path != os.devnull:
        raise UserError(f"{path}: is a device or a socket, not a file; give a file")
    if stat.S_ISREG(mode):
        with readable(path), open(path, "rb"):
            pass


def _of_a_shell(path):
    """Whether a pipe is one of this process's open ones, such as ``/dev/fd/63``."""
    return os.path.realpath(path).startswith("/proc/") or path.startswith("/dev/fd/")


def members(path):
    """Yield the :class:`Member` s of a file: itself, or each file of an archive.

    Read one before asking for the next. Raises :class:`UserError` for a file that is missing,
    damaged, encrypted, or of a kind that is not read.
    """
    path = str(path)
    check_readable(path)
    with contextlib.ExitStack() as stack:
        if path == STANDARD_INPUT:
            raw, stored = sys.stdin.buffer, None
        else:
            with readable(path):
                raw = stored = stack.enter_context(open(path, "rb"))
        opened = Member(path, path, plain_name(path), (), Stream(raw), stored)
        yield from _unpacked(opened, raw)


@contextlib.contextmanager
def open_member(path):
    """The only :class:`Member` of a file.

    Raises :class:`UserError` where it is an archive of several files, or of none.
    """
    with contextlib.closing(members(path)) as inside:
        member = next(inside, None)
        if member is None:
            raise UserError(f"{path}: an archive without a file in it")
        yield member
        if any(packing in ARCHIVES for packing in member.packing) and next(inside, None):
            raise UserError(f"{path}: an archive of several files; unpack it, and give one of them")


@contextlib.contextmanager
def open_bytes(path):
    """A stream of a file's bytes, all packing taken off, whose errors name the file."""
    with open_member(path) as member:
        yield Checked(member)


class Checked:
    """A member's stream, whose errors are :class:`UserError` s."""

    def __init__(self, member):
        self._member = member

    def peek(self, n):
        """As :meth:`Stream.peek`."""
        with readable(self._member.place):
            return self._member.stream.peek(n)

    def read(self, n=-1):
        """As :meth:`Stream.read`."""
        with readable(self._member.place):
            return self._member.stream.read(n)


def _unpacked(member, raw=None):
    """The members of ``member``, packing taken off; raw: the opened file, where it is still that."""
    with readable(member.place):
        head = member.stream.peek(HEAD_BYTES)
    packing = packing_of(head)
    if packing is None:
        if words := unread_kind(head):
            raise UserError(f"{member.place}: is {words}")
        yield member
        return
    if len(member.packing) >= DEEPEST:
        raise UserError(f"{member.place}: packed more than {DEEPEST} times over; unpack it first")
    if packing in COMPRESSIONS:
        stream = decompressed(packing, member.stream)
        yield from _unpacked(_inside(member, packing, stream))
    elif packing == TAR:
        yield from _of_tar(member)
    elif packing == ZIP:
        yield from _of_zip(member, raw)


def _inside(member, packing, stream, name=None):
    place = f"{member.place}: {name}" if name else member.place
    return Member(
        place, member.path, plain_name(name) if name else member.name,
        (*member.packing, packing), stream, member.stored,
    )  # fmt: skip


def _of_tar(member):
    with readable(member.place):
        # Zeros are no end: one archive may follow another.
        archive = tarfile.open(  # noqa: SIM115
            fileobj=member.stream, mode="r|", tarinfo=_Header, ignore_zeros=True
        )
    with archive:
        while True:
            with readable(member.place):
                entry = archive.next()
            if entry is None:
                return
            if entry.isfile() and _of_interest(entry.name):
                with readable(member.place):
                    stream = Stream(archive.extractfile(entry))
                yield from _unpacked(_inside(member, TAR, stream, entry.name))
            archive.members = []  # else every header stays in memory


class _Header(tarfile.TarInfo):
    """A header of a tar, which is an error where it is damaged; tarfile takes it for the end."""

    @classmethod
    def fromtarfile(cls, archive):
        try:
            return super().fromtarfile(archive)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:
            raise tarfile.SubsequentHeaderError(str(error)) from None


@contextlib.contextmanager
def spooled(member):
    """What is left of a member's stream as a file at its begin: in memory, a large one on disk."""
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file:
        with readable(member.place):
            while block := member.stream.read(1 << 20):
                file.write(block)
        file.seek(0)
        yield file


def _of_zip(member, raw):
    with contextlib.ExitStack() as stack:
        if raw is None or not raw.seekable():
            raw = stack.enter_context(spooled(member))
        with readable(member.place):
            archive = stack.enter_context(zipfile.ZipFile(raw))
        entries = [e for e in archive.infolist() if not e.is_dir() and _of_interest(e.filename)]
        if any(e.filename in ("[Content_Types].xml", "mimetype") for e in entries):
            raise UserError(f"{member.place}: is an office document or e-book; save it as text")
        for entry in entries:
            place = f"{member.place}: {entry.filename}"
            if entry.flag_bits & 1:
                raise UserError(f"{place}: is encrypted; unpack it first")
            try:
                stream = stack.enter_context(archive.open(entry))
            except NotImplementedError as error:
                raise UserError(f"{place}: {error}; unpack it first") from None
            except zipfile.BadZipFile as error:
                raise UserError(f"{place}: damaged ({error}); fetch it again") from None
            yield from _unpacked(_inside(member, ZIP, Stream(stream), entry.filename))
            stream.close()


def _of_interest(name):
    """Whether a file of an archive is more than a note of some file system."""
    parts = PurePosixPath(name).parts
    return not any(part.startswith(".") and part not in (".", "..") for part in parts) and (
        "__MACOSX" not in parts
    )


def files_below(folder):
    """Files of a folder and the folders in it, sorted, without hidden ones: list of str."""
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [str(Path(place, name)) for name in names if not name.startswith(".")]
    return sorted(files)
