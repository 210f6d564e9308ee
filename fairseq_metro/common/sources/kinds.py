"""What a file is by its first bytes: compressed, an archive, or a kind that is not read at all."""

import tarfile

HEAD_BYTES = 512  # a tar header; every other mark is shorter

GZIP, BZIP2, XZ, LZMA, ZSTD = COMPRESSIONS = ("gzip", "bzip2", "xz", "lzma", "zstd")
ZIP, TAR = ARCHIVES = ("zip", "tar")
# A command that unpacks each to its standard output, for the remedies of messages.
UNPACK = {
    GZIP: "gzip -dc", BZIP2: "bzip2 -dc", XZ: "xz -dc", LZMA: "xz --format=lzma -dc",
    ZSTD: "zstd -dc --long=31",
}  # fmt: skip
# Endings of names that say nothing but how a file is packed.
PACKED_ENDINGS = (
    ".gz", ".gzip", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".zip", ".tar", ".tgz", ".tbz2",
    ".txz", ".tzst",
)  # fmt: skip

_MARKS = {
    b"\x1f\x8b\x08": GZIP,
    b"\xfd7zXZ\x00": XZ,
    b"\x28\xb5\x2f\xfd": ZSTD,
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": ZIP,  # without members
}
_UNREAD_MARKS = {
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; unpack it first (7z x)",
    b"Rar!\x1a\x07": "a RAR archive; unpack it first (unrar x)",
    b"\x1f\x9d": "compressed by compress; unpack it first (uncompress -c)",
    b"\x04\x22\x4d\x18": "compressed by lz4; unpack it first (lz4 -dc)",
    b"LZIP": "compressed by lzip; unpack it first (lzip -dc)",
    b"\xff\x06\x00\x00sNaPpY": "compressed by snappy; unpack it first",
    b"%PDF-": "a PDF document; save its text as UTF-8 (pdftotext)",
    b"{\\rtf": "a rich text document; save it as plain text in UTF-8",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Office document; save it as plain text in UTF-8",
    b"SQLite format 3\x00": "an SQLite database; export its text as JSON lines",
    b"ARROW1\x00\x00": "an Arrow file; write it as parquet or JSON lines",
    b"Obj\x01": "an Avro file; write it as parquet or JSON lines",
    b"\x93NUMPY": "a NumPy array; give the text it was made from",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file; give the text it was made from",
    b"\x7fELF": "a program; give text",
    b"\x89PNG\r\n\x1a\n": "a picture; give text",
    b"\xff\xd8\xff": "a picture; give text",
    b"GIF8": "a picture; give text",
}


def packing_of(head):
    """How a file that begins with the bytes ``head`` is packed: one of COMPRESSIONS and ARCHIVES,
    or None.

    >>> packing_of(b"PK\\x03\\x04..."), packing_of(b"BZh is how this sentence begins.")
    ('zip', None)
    """
    for mark, packing in _MARKS.items():
        if head.startswith(mark):
            return packing
    if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return BZIP2
    if len(head) > 3 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18":
        return ZSTD  # a frame to be skipped comes first
    if _begins_as_lzma(head):
        return LZMA
    return TAR if _begins_as_tar(head) else None


def unread_kind(head):
    """What a file is that no command reads, with a remedy, or None."""
    for mark, words in _UNREAD_MARKS.items():
        if head.startswith(mark):
            return words
    return None


def unpacked_name(name):
    """A file's own name without the endings that say how it is packed.

    >>> unpacked_name("data/Reviews.CSV.tar.GZ")
    'Reviews.CSV'
    """
    name = name.rsplit("/", 1)[-1]
    while ending := next(
        (e for e in PACKED_ENDINGS if name.lower().endswith(e) and len(name) > len(e)), None
    ):
        name = name[: -len(ending)]
    return name


def plain_name(name):
    """The same in lower case: what tells the form of some files."""
    return unpacked_name(name).lower()


def _begins_as_lzma(head):
    """The header of .lzma, which has no mark: properties, size of the dictionary, size of the text."""
    if len(head) < 13 or head[0] != 0x5D:
        return False
    dictionary = int.from_bytes(head[1:5], "little")
    size = int.from_bytes(head[5:13], "little")
    power = dictionary & -dictionary
    usual = dictionary >= 4096 and dictionary in (power, 3 * power)
    return usual and (size == (1 << 64) - 1 or size < 1 << 38)


def _begins_as_tar(head):
    """A tar header carries its own check sum; old ones have no other mark."""
    if len(head) < HEAD_BYTES:
        return False
    try:
        tarfile.TarInfo.frombuf(head[:HEAD_BYTES], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
