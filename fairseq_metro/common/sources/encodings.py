"""Detect the encoding of bytes that are not UTF-8; no answer unless it is certain.

With a wrong name, the user would silently turn the text into garbage. So charset-normalizer
has to be sure, and nothing else that could be meant may read as well: most texts of Latin letters
read well in several encodings and get no name.
"""

import re
import unicodedata

CLEAR = 0.05  # "chaos", charset-normalizer's measure of a text, of what is named
APART = 0.1  # by which that of another text is to be worse
LESS_COHERENT = 0.3  # or by which its "coherence" is, how well letters fit a language
LEAST_OTHERS = 12  # letters beyond ASCII from which something can be told
# Python's names to iconv's, each the widest of its kind: what it lacks is an error there, not garbage.
ICONV = {
    "cp1251": "CP1251", "koi8_r": "KOI8-R", "cp1253": "CP1253", "cp1255": "CP1255",
    "cp1256": "CP1256", "cp932": "CP932", "shift_jis": "CP932", "euc_jp": "EUC-JP",
    "euc_jis_2004": "EUC-JP", "gb18030": "GB18030", "gbk": "GB18030", "gb2312": "GB18030",
    "big5": "BIG5", "big5hkscs": "BIG5-HKSCS", "cp950": "BIG5", "cp949": "CP949",
    "euc_kr": "CP949", "utf_16_le": "UTF-16LE", "utf_16_be": "UTF-16BE",
}  # fmt: skip
# Near relations, which read almost alike and which charset-normalizer does not always propose.
_SIBLINGS = {
    "CP1251": ("mac_cyrillic",), "KOI8-R": ("koi8_u",), "CP1253": ("iso8859_7",),
    "CP1255": ("iso8859_8",),
}  # fmt: skip
_PYTHON = {"CP932": "cp932", "EUC-JP": "euc_jp", "GB18030": "gb18030", "CP949": "cp949"}
_C1 = re.compile("[\x80-\x9f]")
_MARKS_OF_WINDOWS = re.compile(
    rb"(?<=[A-Za-z])\x92(?=[a-z])"  # an apostrophe
    rb"|(?<![A-Za-z0-9])[\x93\x91](?=[A-Za-z])"  # an opening quote
    rb"|(?<=[A-Za-z0-9.,!?])[\x94](?![A-Za-z0-9])"  # a closing one
    rb"|(?<=[A-Za-z0-9]) ?[\x96\x97] ?(?=[A-Za-z0-9])"  # a dash
)
_ENGLISH = re.compile(rb"(?<![A-Za-z])(?:the|of|and|to|in|is|was|that|it)(?![A-Za-z])", re.I)


def likely_encoding(sample):
    """The name that iconv has for a sample's encoding, or None where that is not certain."""
    if _is_english_of_windows(sample):
        return "CP1252"
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return None
    candidates = list(from_bytes(sample, explain=False))
    if not candidates or candidates[0].chaos > CLEAR:
        return None
    name = ICONV.get(candidates[0].encoding)
    text = _decoded(sample, _PYTHON.get(name, candidates[0].encoding))
    if name is None or text is None or sum(c > "\x7f" for c in text) < LEAST_OTHERS:
        return None
    for other in candidates[1:]:
        rival = _decoded(sample, other.encoding)
        if rival not in (None, text) and not _is_worse(other, candidates[0]):
            return None
    for encoding in _SIBLINGS.get(name, ()):
        rival = _decoded(sample, encoding)
        if rival not in (None, text) and _oddities(rival) <= _oddities(text):
            return None
    return name


def _is_worse(rival, best):
    """Whether a candidate of charset-normalizer reads clearly worse than the best: more chaos, or
    letters as often as in no language."""
    return rival.chaos >= best.chaos + APART or (
        rival.chaos >= best.chaos and rival.coherence <= best.coherence - LESS_COHERENT
    )


def _decoded(sample, encoding):
    """The text of a sample, which may be cut in the middle of a character; None if it is not that
    encoding's, or has what no text has."""
    for cut in range(4):
        try:
            text = sample[: len(sample) - cut].decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(sample) - cut - 4:
                return None
            continue
        except LookupError:
            return None
        if _C1.search(text):
            return None
        kinds = {unicodedata.category(c) for c in set(text)}
        return None if kinds & {"Cn", "Co"} else text
    return None


def _oddities(text):
    """How many characters beyond ASCII are neither letters nor usual marks beside them."""
    usual = "\u00ab\u00bb\u201c\u201d\u201e\u2018\u2019\u2013\u2014\u2026\u00b0\u2116"
    return sum(
        c > "\x7f" and unicodedata.category(c)[0] not in "LM" and c not in usual for c in text
    )


def _is_english_of_windows(sample):
    """Whether all that is beyond ASCII are quotes, dashes and dots where English has them."""
    beyond = len(re.findall(rb"[\x80-\xff]", sample))
    expected = len(_MARKS_OF_WINDOWS.findall(sample)) + sample.count(b"\x85")
    english = len(_ENGLISH.findall(sample))
    return (
        beyond >= 2
        and expected == beyond
        and 2 * sample.count(b"\x85") <= beyond
        and (20 * english >= len(sample.split()))
    )
