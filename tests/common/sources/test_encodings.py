"""Text that is not UTF-8: an error with its place, and a remedy that is obeyed here."""

# ruff: noqa: RUF001
import gzip
import re
import subprocess
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import Reading, documents_of
from fairseq_metro.common.sources.decoding import decode, unmarked_encoding
from fairseq_metro.common.sources.encodings import likely_encoding
from tests.common.sources.packing import in_zip

ENGLISH = (
    "The committee met on Tuesday to discuss the bridge, and nobody could agree on who "
    "should pay for it. “We can’t go on like this,” said the chairman – and left the "
    "room. It was late.\n"
)
FRENCH = (
    "Le comité s’est réuni mardi pour discuter du pont, et personne n’a pu se mettre "
    "d’accord sur qui devait payer. Ça coûte cher, a déclaré le président à la fenêtre.\n"
)
POLISH = (
    "Komisja zebrała się we wtorek, aby porozmawiać o moście, ale nikt nie mógł się "
    "zgodzić, kto powinien za niego zapłacić. Tak dalej być nie może.\n"
)
RUSSIAN = (
    "Комитет собрался во вторник, чтобы обсудить мост, и никто не мог договориться о том, "
    "кто должен за него платить. Я ухожу, сказал председатель и вышел.\n"
)
JAPANESE = (
    "委員会は火曜日に橋について話し合うために集まりましたが、誰がその費用を払うべきか"
    "について意見がまとまりませんでした。「このままではいけない」と議長は言って、部屋"
    "を出て行きました。カタカナも使います。\n"
)
CHINESE = (
    "委员会在星期二开会讨论这座桥，没有人能就谁应该付钱达成一致。我们不能再这样下去了"
    "，主席说完就离开了房间。外面下着雨，人们匆匆赶回家，没有注意到那条古老的河流。\n"
)
HINDI = "समिति की बैठक मंगलवार को हुई और कोई सहमत नहीं हो सका\n"
ARABIC = "اجتمعت اللجنة يوم الثلاثاء لمناقشة الجسر ولم يتفق أحد\n"

# text, encoding, name that must be given; None where several encodings read well
CASES = [
    (ENGLISH, "cp1252", "CP1252"), (FRENCH, "cp1252", None), (FRENCH, "macintosh", None),
    (POLISH, "cp1250", None), (POLISH, "iso8859-2", None),
    (RUSSIAN, "cp1251", "CP1251"), (RUSSIAN, "koi8-r", "KOI8-R"), (RUSSIAN, "iso8859-5", None),
    (RUSSIAN, "cp866", None), (JAPANESE, "shift_jis", "CP932"), (JAPANESE, "euc_jp", "EUC-JP"),
    (JAPANESE, "iso2022_jp", "ISO-2022-JP"), (CHINESE, "gb18030", "GB18030"),
    (CHINESE, "gbk", "GB18030"), (CHINESE, "utf-16-le", "UTF-16LE"),
    (ENGLISH, "utf-16-le", "UTF-16LE"), (ENGLISH, "utf-16-be", "UTF-16BE"),
    (RUSSIAN, "utf-16-le", "UTF-16LE"), (HINDI, "utf-16-be", "UTF-16BE"),
    (ARABIC, "utf-16-le", "UTF-16LE"), (ENGLISH, "utf-32-le", "UTF-32LE"),
    (RUSSIAN, "utf-32-be", "UTF-32BE"),
]  # fmt: skip


def refusal(path):
    with pytest.raises(UserError) as caught:
        list(documents_of(str(path), Reading(form="text")))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


def obeyed(message, folder):
    """What the command of a message writes, in its file's folder."""
    command = re.search(r": ((?:gzip -dc|iconv) .*)", message)[1]
    subprocess.run(["bash", "-ec", command], check=True, cwd=folder)
    return (folder / re.search(r"> (\S+)$", command)[1]).read_bytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("text, encoding, name", CASES)
def test_the_remedy_gives_the_text_when_it_is_obeyed(tmp_path, text, encoding, name, packed):
    text = text * 20
    content = text.encode(encoding)
    path = tmp_path / ("text.gz" if packed else "text.txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    message = refusal(path)
    assert "byte" in message and "not UTF-8" in message
    if name is None:
        assert "iconv -f ENCODING -t utf-8" in message
        message = message.replace("ENCODING", encoding)
    else:
        assert f"iconv -f {name} -t utf-8" in message
    assert obeyed(message, tmp_path).decode() == text


ENCODINGS = (
    "cp1250 cp1251 cp1252 cp1253 cp1254 cp1256 cp1257 iso8859_1 iso8859_2 iso8859_5 iso8859_15 koi8_r "
    "koi8_u mac_roman mac_cyrillic cp437 cp850 cp852 cp866 shift_jis euc_jp gb18030 big5 euc_kr "
    "utf-16-le utf-16-be"
).split()
TEXTS = [ENGLISH, FRENCH, POLISH, RUSSIAN, JAPANESE, CHINESE, ARABIC, HINDI]


@given(st.sampled_from(TEXTS), st.sampled_from(ENCODINGS), st.integers(0, 60), st.integers(20, 400))
def test_no_name_that_is_given_makes_garbage(text, encoding, start, length):
    text = (text * 2)[start : start + length]
    try:
        content = text.encode(encoding)
    except UnicodeEncodeError:
        return
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        name = likely_encoding(content)
        if name is not None:
            command = ["iconv", "-f", name, "-t", "utf-8"]
            done = subprocess.run(command, input=content, capture_output=True)
            assert done.returncode != 0 or done.stdout.decode() == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_utf8_is_never_taken_for_an_encoding_without_a_mark(text):
    text = f"some words before {text}"
    if text.count("\0") * 20 < len(text):
        assert unmarked_encoding(text.encode()) is None or "\x1b$" in text


def test_the_place_is_line_and_byte_of_the_text(tmp_path):
    (tmp_path / "x").write_bytes("\ufeffone\nt\u00e9st caf\u00e9\n".encode() + b"caf\xe9\n")
    assert "x: line 3, byte 19 is not UTF-8 (" in refusal(tmp_path / "x")


def test_a_bad_byte_in_a_file_of_utf8_is_left_out_by_the_remedy(tmp_path):
    text = FRENCH * 5
    content = text.encode()
    (tmp_path / "x").write_bytes(content[:300] + b"\xe9\xff" + content[300:])
    message = refusal(tmp_path / "x")
    assert "the rest is UTF-8" in message
    assert obeyed(message, tmp_path).decode() == text


def test_surrogates_encoded_as_bytes_are_left_out_by_the_remedy(tmp_path):
    """As CESU-8 and Java have them."""
    (tmp_path / "x").write_bytes(ENGLISH.encode() + b"\xed\xa0\xbd\xed\xb8\x80" + b"end")
    message = refusal(tmp_path / "x")
    assert "the rest is UTF-8 (6 bad bytes" in message
    assert obeyed(message, tmp_path).decode() == f"{ENGLISH}end"


def test_in_an_archive_and_from_standard_input_the_remedy_is_said_in_words(tmp_path):
    (tmp_path / "x.zip").write_bytes(in_zip({"a.txt": (RUSSIAN * 9).encode("cp1251")}))
    message = refusal(tmp_path / "x.zip")
    assert f"{tmp_path}/x.zip: a.txt: line 1" in message
    assert message.endswith("unpack the archive, then iconv -f CP1251 -t utf-8 FILE > FILE.utf8")
    piped = SimpleNamespace(place="-", path="-", packing=())
    with pytest.raises(UserError, match=r"convert the file: \.\.\. \| iconv -f CP1251 -t utf-8 \|"):
        decode((RUSSIAN * 9).encode("cp1251"), piped)


def test_a_name_that_promises_compression_of_other_bytes_is_told(tmp_path):
    (tmp_path / "x.gz").write_bytes(b"\x1e" + gzip.compress(b"text")[1:])
    assert "nor is it compressed, as .gz says" in refusal(tmp_path / "x.gz")


def test_zero_bytes_alone_are_no_text(tmp_path):
    (tmp_path / "x").write_bytes(bytes(5000))
    assert "nothing but zero bytes" in refusal(tmp_path / "x")


def test_names_with_spaces_and_quotes_are_quoted_in_the_remedy(tmp_path):
    path = tmp_path / "it's text.txt"
    path.write_bytes((RUSSIAN * 3).encode("cp1251"))
    command = refusal(path).split("convert the file: ")[1]
    subprocess.run(["bash", "-ec", command], check=True)
    assert (tmp_path / "it's text.txt.utf8").read_text("utf-8") == RUSSIAN * 3
