"""Binarizing whole corpora: what the bytes are, what they do not depend on, what stops it."""

import bz2
import gzip
import io
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import zstandard
from fairseq.data.indexed_dataset import MMapIndexedDataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file
from fairseq_metro.common.sources import lines as source_lines
from fairseq_metro.data.indexed import read_stamp
from fairseq_metro.prepare import binarize, folder_lock, inputs
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.common.sources.packing import in_tar, in_zip
from tests.prepare import samples

TOKEN_FILES = ("train.bin", "train.idx", "valid.bin", "valid.idx", "dict.txt")


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of a few lines, so that documents and lines cross their edges."""
    monkeypatch.setattr(inputs.Inputs.__init__, "__defaults__", (300,))


@pytest.fixture
def texts(tmp_path):
    """Training and validation text as files; ``.write(name, data)`` makes more."""

    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return SimpleNamespace(
        write=write,
        train=write("train.txt", samples.text(0, 6)),
        valid=write("valid.txt", samples.text(60, 62)),
    )


def command(texts, dest, *more, train=None, vocab=None, workers=1):
    vocab = vocab or samples.vocabulary().path
    train = train if isinstance(train, list) else [train or texts.train]
    return [str(word) for word in (
        "--vocab", vocab, "--train", *train, "--valid", texts.valid, "--dest", dest,
        "--workers", workers, *more,
    )]  # fmt: skip


def run(texts, dest, *more, **options):
    """Binarize in this process; return the stamps."""
    args = binarize.parser().parse_args(command(texts, dest, *more, **options))
    return binarize.binarize(binarize.plan(args))


def lines_of(prefix):
    """The lines that fairseq's own reader finds."""
    dataset = MMapIndexedDataset(str(prefix))
    return [dataset[i].tolist() for i in range(len(dataset))]


def naive(vocabulary, documents):
    """Documents (lists of lines) as lines of ids, one after the other, by the slow way."""
    found = []
    for document in documents:
        ids = [[*vocabulary.encode(line), 2] for line in document if line.strip()]
        ids = [line for line in ids if len(line) > 1]
        found += [[2], *ids] if found and ids else ids
    return found


def paragraphs(text):
    """Documents of a text as runs of non-blank lines, found line by line."""
    documents = [[]]
    for line in text.split("\n"):
        if line.strip():
            documents[-1].append(line)
        else:
            documents.append([])
    return documents


def same_files(one, other, names=TOKEN_FILES):
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def left_over(dest):
    return [path for path in dest.rglob("*") if path.name.startswith(".") or "tmp" in path.name]


# What the bytes are


AWKWARD = st.lists(
    st.one_of(
        st.sampled_from(["", " ", "\t", "\r", "\u3000", "\x01", "\u200b", "\x1c"]),
        st.sampled_from(["a line", " spaces  inside ", "caf\u00e9\u2028\x85x", "\u2603\u2603"]),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=12),
    ),
    max_size=14,
)


@given(AWKWARD, st.booleans(), st.integers(1, 40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_becomes_what_the_slow_way_makes_of_it(texts, tmp_path, lines, newline, chunk):
    text = "\n".join(["start", *lines, "the end"]) + ("\n" if newline else "")
    file = texts.write("any.txt", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs.Inputs.__init__, "__defaults__", (chunk,))
        run(texts, tmp_path / "any", "--overwrite", "--allow-unknown", train=file)
    expected = naive(samples.vocabulary(), paragraphs(text))
    assert lines_of(tmp_path / "any" / "train") == expected
    stamp = read_stamp(tmp_path / "any")["splits"]["train"]
    assert stamp["documents"] == 1 + expected.count([2])
    assert stamp["unknown"] == sum(line.count(3) for line in expected)


@pytest.mark.parametrize("normalization", ["none", "metro"])
def test_both_routes_and_any_number_of_workers_write_the_same_bytes(
    texts, tmp_path, normalization, small_chunks
):
    texts.train.write_text(
        samples.text(0, 6) + "\n\n \x85\u2028\x00 \u2603\x85 odd \r\n\x00\n\nlast line", "utf-8"
    )
    vocab = samples.vocabulary(normalization).path
    run(texts, tmp_path / "one", vocab=vocab)
    for workers in (2, 3):
        run(texts, tmp_path / f"{workers}", vocab=vocab, workers=workers)
        assert same_files(tmp_path / "one", tmp_path / f"{workers}")
        assert (
            read_stamp(tmp_path / "one")["splits"] == read_stamp(tmp_path / f"{workers}")["splits"]
        )
    run(texts, tmp_path / "pieces", "--route", "pieces", vocab=vocab, workers=2)
    assert same_files(tmp_path / "one", tmp_path / "pieces")
    assert read_stamp(tmp_path / "one")["splits"] == read_stamp(tmp_path / "pieces")["splits"]
    assert not left_over(tmp_path / "pieces")


def test_the_size_of_chunks_does_not_show(texts, tmp_path):
    run(texts, tmp_path / "whole")
    for size in (50, 1000, 7001):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inputs.Inputs.__init__, "__defaults__", (size,))
            run(texts, tmp_path / str(size), "--shards", "1")
        assert same_files(tmp_path / "whole", tmp_path / str(size) / "shard0")


def test_a_bpe_vocabulary_is_binarized_alike_by_both_routes(texts, tmp_path):
    vocab = samples.vocabulary(model_type="bpe").path
    run(texts, tmp_path / "direct", vocab=vocab)
    run(texts, tmp_path / "pieces", "--route", "pieces", vocab=vocab)
    assert same_files(tmp_path / "direct", tmp_path / "pieces")


def test_several_files_are_documents_of_their_own(texts, tmp_path):
    files = [texts.write(f"{i}.txt", f"\n\nfile {i}\n\nend" + "\n" * i) for i in range(3)]
    run(texts, tmp_path / "d", train=files)
    documents = [d for i in range(3) for d in ([f"file {i}"], ["end"])]
    assert lines_of(tmp_path / "d" / "train") == naive(samples.vocabulary(), documents)


def test_one_document_per_file_ignores_blank_lines(texts, tmp_path, small_chunks):
    files = [texts.write(f"{i}.txt", samples.text(i, i + 2)) for i in range(3)]
    run(texts, tmp_path / "d", "--documents", "file", train=files)
    documents = [file.read_text("utf-8").split("\n") for file in files]
    assert lines_of(tmp_path / "d" / "train") == naive(samples.vocabulary(), documents)
    assert read_stamp(tmp_path / "d")["splits"]["train"]["documents"] == 3


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".gz", gzip.compress),
        (".xz", lzma.compress),
        (".zst", zstandard.compress),
        (".zst", lambda b: zstandard.compress(b[:5000]) + zstandard.compress(b[5000:])),
        (".gz", lambda b: gzip.compress(b[:5000]) + gzip.compress(b[5000:])),
    ],
)
def test_compressed_text_gives_the_bytes_of_plain_text(texts, tmp_path, suffix, compress):
    packed = texts.write(f"train{suffix}", compress(texts.train.read_bytes()))
    run(texts, tmp_path / "plain", "--shards", "2")
    run(texts, tmp_path / "packed", "--shards", "2", train=packed)
    for shard, names in (("shard0", TOKEN_FILES), ("shard1", ("train.bin", "train.idx"))):
        assert same_files(tmp_path / "plain" / shard, tmp_path / "packed" / shard, names)


def test_standard_input_gives_the_bytes_of_the_file(texts, tmp_path, monkeypatch):
    run(texts, tmp_path / "file", "--shard-size", "9k")
    stdin = SimpleNamespace(buffer=io.BytesIO(texts.train.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    stamps = run(texts, tmp_path / "stdin", "--shard-size", "9k", train="-")
    assert len(stamps) > 2
    for i in range(len(stamps)):
        assert same_files(
            tmp_path / "file" / f"shard{i}", tmp_path / "stdin" / f"shard{i}", ["train.bin"]
        )


def test_the_stamp_says_what_is_in_the_files(texts, tmp_path):
    (stamp,) = run(texts, tmp_path / "d")
    assert stamp == read_stamp(tmp_path / "d")
    vocabulary = samples.vocabulary()
    assert stamp["vocabulary"] == vocabulary.hash
    assert Vocabulary.load(tmp_path / "d" / "vocab").hash == vocabulary.hash
    assert stamp["dictionary"] == sha256_file(tmp_path / "d" / "dict.txt")
    lines = lines_of(tmp_path / "d" / "train")
    train = stamp["splits"]["train"]
    assert train["lines"] == len(lines)
    assert train["tokens"] == sum(map(len, lines))
    assert train["sha256"] == sha256_file(tmp_path / "d" / "train.bin")
    flat = [token for line in lines for token in line if token > 3]
    assert train["commonest_token"] == max(sorted(set(flat)), key=flat.count)
    assert stamp["splits"]["valid"]["sha256"] == sha256_file(tmp_path / "d" / "valid.bin")


def test_the_data_hash_changes_with_any_split(texts, tmp_path):
    (one,) = run(texts, tmp_path / "one")
    texts.valid.write_text("other validation text\n")
    (two,) = run(texts, tmp_path / "two")
    assert one["data"] != two["data"]


# Shards


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_shards_hold_every_document_once_and_are_about_equal(texts, tmp_path, shards, small_chunks):
    lines = [line for document in samples.documents() for line in document]
    texts.train.write_text("\n\n\n".join(map("\n".join, zip(*[iter(lines)] * 7, strict=False))))
    run(texts, tmp_path / "whole")
    stamps = run(texts, tmp_path / "cut", "--shards", str(shards), workers=2)
    parts = [lines_of(tmp_path / "cut" / f"shard{i}" / "train") for i in range(shards)]
    assert all(part[0] != [2] and part[-1] != [2] for part in parts)
    joined = parts[0]
    for part in parts[1:]:
        joined = [*joined, [2], *part]
    assert joined == lines_of(tmp_path / "whole" / "train")
    sizes = [stamp["splits"]["train"]["text_bytes"] for stamp in stamps]
    assert sum(sizes) == texts.train.stat().st_size
    assert max(sizes) - min(sizes) < 2000
    assert [set(stamp["splits"]) for stamp in stamps] == [
        {"train", "valid"} if i == 0 else {"train"} for i in range(shards)
    ]


def test_text_without_documents_is_cut_at_line_ends(texts, tmp_path, small_chunks):
    lines = [line for line in texts.train.read_text("utf-8").split("\n") if line]
    texts.train.write_text("\n".join(lines) + "\n", "utf-8")
    run(texts, tmp_path / "cut", "--shards", "3")
    parts = [lines_of(tmp_path / "cut" / f"shard{i}" / "train") for i in range(3)]
    assert [*parts[0], *parts[1], *parts[2]] == naive(samples.vocabulary(), [lines])


def test_the_log_gives_the_shards_as_fairseq_takes_them(texts, tmp_path, caplog):
    caplog.set_level("INFO")
    run(texts, tmp_path / "d", "--shards", "2")
    assert f"for fairseq-train: {tmp_path}/d/shard0:{tmp_path}/d/shard1" in caplog.text


# Going on


def test_a_finished_run_is_recognised_and_left_alone(texts, tmp_path, caplog):
    caplog.set_level("INFO")
    first = run(texts, tmp_path / "d", "--shards", "2")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "d").rglob("*")}
    assert run(texts, tmp_path / "d", "--shards", "2") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "d").rglob("*")} == times
    assert caplog.text.count("finished already, reused") == 2


def test_only_the_missing_shard_is_made_again(texts, tmp_path):
    run(texts, tmp_path / "d", "--shards", "3")
    run(texts, tmp_path / "other", "--shards", "3")
    (tmp_path / "d" / "shard1" / "stamp.json").unlink()
    (tmp_path / "d" / "shard2" / "train.bin").write_bytes(b"cut off")
    kept = (tmp_path / "d" / "shard0" / "stamp.json").stat().st_mtime_ns
    run(texts, tmp_path / "d", "--shards", "3")
    assert (tmp_path / "d" / "shard0" / "stamp.json").stat().st_mtime_ns == kept
    for i in range(3):
        shard = f"shard{i}"
        assert same_files(tmp_path / "d" / shard, tmp_path / "other" / shard, ["train.bin"])
        assert read_stamp(tmp_path / "d" / shard)["splits"]


def spawn(texts, dest, *more, **options):
    code = "import sys; from fairseq_metro.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, "binarize", *command(texts, dest, *more, **options)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A shell's background job ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as stream:
        return [int(word) for word in stream.read().split()]


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks for child processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_at_any_moment_is_completed_by_the_next(texts, tmp_path, root, sent):
    texts.train.write_text(samples.text() * 10, "utf-8")
    options = ("--shards", "6")
    run(texts, tmp_path / "straight", *options)
    rng = random.Random(int(sent))
    dest = tmp_path / "d"
    for attempt in range(6):
        process = spawn(texts, dest, *options, workers=2)
        deadline = time.monotonic() + 30
        # From some moment on: right away, when the folder is there, after a shard, after two …
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(dest.glob("shard*/stamp.json"))) >= attempt or attempt == 0:
                break
            time.sleep(0.002)
        time.sleep(rng.random() * 0.3)
        workers = children(process.pid) if process.poll() is None else []
        process.send_signal(sent)
        process.wait(timeout=30)
        if sent != signal.SIGKILL and process.returncode != 0:
            assert not left_over(dest) if dest.exists() else True
        for folder in dest.glob("shard*"):
            if (folder / "stamp.json").exists():
                assert same_files(folder, tmp_path / "straight" / folder.name, ["train.bin"])
        deadline = time.monotonic() + 10
        while not all(map(gone, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        stayed = [pid for pid in workers if not gone(pid)]
        for pid in stayed:
            os.kill(pid, signal.SIGKILL)
        assert not stayed, "workers outlive their parent"
        process.communicate()
    run(texts, dest, *options)
    assert not left_over(dest)
    for i in range(6):
        shard = f"shard{i}"
        names = TOKEN_FILES if i == 0 else ("train.bin", "train.idx", "dict.txt")
        assert same_files(dest / shard, tmp_path / "straight" / shard, names)
        assert read_stamp(dest / shard)["data"] == read_stamp(tmp_path / "straight" / shard)["data"]


def test_ctrl_c_is_one_line(texts, tmp_path):
    texts.train.write_text(samples.text() * 40, "utf-8")
    process = spawn(texts, tmp_path / "d", workers=2)
    while not (tmp_path / "d" / ".partial").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers too
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.strip().splitlines()[-1] == "interrupted; run the same command again to go on"
    assert "Traceback" not in stderr
    assert not (tmp_path / "d").exists() or list((tmp_path / "d").iterdir()) == []


def test_memory_does_not_grow_with_the_text(texts, tmp_path):
    code = (
        "import re; from fairseq_metro.cli import main; main(); "
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    peaks = []
    for copies in (2, 24):  # 1 and 14 MB
        texts.train.write_text(samples.text() * copies, "utf-8")
        words = [
            sys.executable,
            "-c",
            code,
            "binarize",
            *command(texts, tmp_path / f"{copies}", workers=2),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 25, f"{peaks} MiB"


# Files as they are distributed


def in_rows(text, **fields):
    """The documents of a text, blank lines between them, as JSON lines."""
    documents = ["\n".join(lines) for lines in paragraphs(text) if lines]
    return "".join(f"{json.dumps({'id': 1, **fields, 'text': d})}\n" for d in documents)


@pytest.mark.parametrize("documents", ["blank-line", "file"])
@pytest.mark.parametrize("shards", [None, 3])
def test_rows_are_documents_whatever_ends_one_in_plain_text(
    texts, tmp_path, small_chunks, documents, shards
):
    options = ("--shards", str(shards)) if shards else ()
    run(texts, tmp_path / "plain", *options)
    rows = texts.write("c4.json.GZ", gzip.compress(in_rows(texts.train.read_text()).encode()))
    run(texts, tmp_path / "rows", "--documents", documents, *options, train=rows)
    for i in range(shards or 1):
        part = f"shard{i}" if shards else "."
        assert same_files(tmp_path / "plain" / part, tmp_path / "rows" / part, ["train.bin"])


def test_paragraphs_of_a_row_stay_one_document(texts, tmp_path):
    row = json.dumps({"body": "A title\n\n  one \r\n \x85 \ntwo"})
    rows = texts.write("rows", f"{row}\n{row}\n")
    run(texts, tmp_path / "d", "--field", "body", train=rows)
    expected = naive(samples.vocabulary(), [["A title", "one", "two"]] * 2)
    assert lines_of(tmp_path / "d" / "train") == expected


def test_any_packing_and_utf16_give_the_bytes_of_plain_text(texts, tmp_path):
    run(texts, tmp_path / "plain", "--shards", "2")
    content = texts.train.read_bytes()
    for name, packed in (
        ("UPPER.TXT.BZ2", bz2.compress(content)),
        ("x.zip", in_zip({"a/text.txt": content})),
        ("urlsf_subset00-1_data.xz", lzma.compress(in_tar({"a.txt": content}))),
        ("utf16.txt", ("\ufeff" + content.decode()).encode("utf-16-be")),
        ("bom.txt", b"\xef\xbb\xbf" + content),
    ):
        dest = tmp_path / f"of {name}"
        run(texts, dest, "--shards", "2", train=texts.write(name, packed))
        for shard in ("shard0", "shard1"):
            assert same_files(tmp_path / "plain" / shard, dest / shard, ["train.bin"]), name


def test_files_of_a_folder_and_of_an_archive_are_documents_of_their_own(texts, tmp_path):
    files = {f"{i}.txt": f"file {i}\n\nend".encode() for i in range(3)}
    for name, content in files.items():
        (tmp_path / "folder").mkdir(exist_ok=True)
        texts.write(f"folder/{name}", content)
    archive = texts.write("a.tar", in_tar(files))
    for documents in ("blank-line", "file"):
        run(texts, tmp_path / documents, "--documents", documents, train=tmp_path / "folder")
        run(texts, tmp_path / f"{documents} tar", "--documents", documents, train=archive)
        assert same_files(tmp_path / documents, tmp_path / f"{documents} tar", ["train.bin"])


def test_bad_rows_are_counted_and_too_many_leave_nothing(texts, tmp_path, caplog):
    lines = in_rows(samples.text(0, 3)) + '{"text": null}\n{"text": "\\ud83d x"}\n'
    rows = texts.write("rows.jsonl", lines)
    run(texts, tmp_path / "d", train=rows)
    assert "rows were left out: 1 null" in caplog.text
    assert "1 lone surrogate was replaced by U+FFFD" in caplog.text
    message = refused(texts, tmp_path / "none", "--max-bad-rows", "0", train=rows)
    assert "null in field 'text'" in message and "--max-bad-rows" in message
    message = refused(texts, tmp_path / "none", "--field", "body", train=rows)
    assert (
        "rows.jsonl: line 1: no text in field 'body' (there is: id, text); give --field" in message
    )


def test_rows_can_be_taken_for_plain_text(texts, tmp_path):
    rows = texts.write("rows.jsonl", in_rows(samples.text(0, 1)))
    run(texts, tmp_path / "d", "--format", "text", train=rows)
    expected = naive(samples.vocabulary(), [rows.read_text().split("\n")])
    assert lines_of(tmp_path / "d" / "train") == expected


def test_a_name_goes_before_a_pattern(texts, tmp_path):
    meant = texts.write("a[1].txt", "the file that is meant\n")
    texts.write("a1.txt", "another file\n")
    run(texts, tmp_path / "d", train=meant)
    assert lines_of(tmp_path / "d/train") == naive(
        samples.vocabulary(), [["the file that is meant"]]
    )
    run(texts, tmp_path / "all", train=tmp_path / "a*.txt")
    assert len(lines_of(tmp_path / "all/train")) == 3


def test_pipes_are_refused_at_once_and_those_of_a_shell_are_read(texts, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe: is a pipe" in refused(texts, tmp_path / "d", train=tmp_path / "pipe")
    assert "/dev/zero: is a device" in refused(texts, tmp_path / "d", train="/dev/zero")
    run(texts, tmp_path / "file")
    words = " ".join(command(texts, tmp_path / "shell", train="TRAIN"))
    line = f"fairseq-metro binarize {words}".replace("TRAIN", f"<(gzip -c {texts.train})")
    environment = {**os.environ, "PATH": f"{sys.exec_prefix}/bin:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", line], check=True, env=environment)
    assert same_files(tmp_path / "file", tmp_path / "shell", ["train.bin"])
    line = f"{line} --shards 2".replace(str(tmp_path / "shell"), str(tmp_path / "none"))
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "is a pipe, not a file; give a file" in done.stderr


# What stops it


def refused(texts, dest, *more, **options):
    """The message of the error that a command ends with; nothing may be left in ``dest``."""
    with pytest.raises(UserError) as caught:
        run(texts, dest, *more, **options)
    assert not dest.exists() or list(dest.iterdir()) == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("packed", [False, True])
def test_text_that_is_not_utf8_is_named_by_file_line_and_byte(
    texts, tmp_path, workers, packed, small_chunks
):
    good = "a line of text\n" * 100
    data = good.encode() + b"caf\xe9 latin\n" + good.encode()
    file = texts.write("x.gz", gzip.compress(data)) if packed else texts.write("x", data)
    message = refused(texts, tmp_path / "d", train=file, workers=workers)
    assert message.startswith(f"{file}: line 101, byte 1503 is not UTF-8")
    assert "iconv" in message


def test_an_empty_corpus_is_refused(texts, tmp_path):
    for content in ("", "\n\n  \n", "\u200b\n"):
        file = texts.write("empty", content)
        assert "no text for --train" in refused(texts, tmp_path / "d", train=file)
    texts.valid.write_text("\n")
    assert "no text for --valid" in refused(texts, tmp_path / "d")


def test_files_that_cannot_be_read_are_refused(texts, tmp_path):
    assert "nowhere: no such file" in refused(texts, tmp_path / "d", train=tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    assert "folder: no file in" in refused(texts, tmp_path / "d", train=tmp_path / "folder")


@pytest.mark.parametrize("cut", [0.5, 0.98])
@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".xz", lzma.compress), (".zst", zstandard.compress)],
)
def test_a_cut_off_compressed_file_is_refused(texts, tmp_path, suffix, compress, cut):
    packed = compress(texts.train.read_bytes())
    file = texts.write(f"cut{suffix}", packed[: int(cut * len(packed))])
    message = refused(texts, tmp_path / "d", train=file)
    assert message.startswith(f"{file}: damaged or cut off")


def test_one_text_in_two_splits_is_refused(texts, tmp_path):
    link = tmp_path / "link.txt"
    link.symlink_to(texts.valid)
    message = refused(texts, tmp_path / "d", train=[texts.train, link])
    assert "link.txt: given for" in message or "valid.txt: given for" in message
    assert "--train and again for --train" in refused(
        texts, tmp_path / "d", train=[texts.train, texts.train]
    )


def test_shards_of_standard_input_need_a_size(texts, tmp_path):
    assert "--shard-size" in refused(texts, tmp_path / "d", "--shards", "2", train="-")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--shards", "0"), "--shards is 0"),
        (("--shard-size", "many"), "--shard-size is 'many'"),
        (("--shard-size", "0"), "--shard-size is '0'"),
        (("--shards", "2", "--shard-size", "5M"), "give one of them"),
        (("--workers", "0"), "--workers is 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(texts, tmp_path, options, message):
    assert message in refused(texts, tmp_path / "d", *options)


def test_more_shards_than_text_are_refused(texts, tmp_path):
    file = texts.write("short", "one\n\ntwo\n")
    with pytest.raises(UserError, match=r"fills only \d of 5 shards"):
        run(texts, tmp_path / "d", "--shards", "5", train=file)


def test_data_of_another_vocabulary_is_not_touched(texts, tmp_path):
    run(texts, tmp_path / "d")
    before = {path: path.read_bytes() for path in (tmp_path / "d").glob("*.*")}
    other = samples.vocabulary(vocab_size=500).path
    with pytest.raises(UserError, match=r"another vocabulary.*--overwrite"):
        run(texts, tmp_path / "d", vocab=other)
    assert {path: path.read_bytes() for path in (tmp_path / "d").glob("*.*")} == before
    (stamp,) = run(texts, tmp_path / "d", "--overwrite", vocab=other)
    assert stamp["vocabulary"] == samples.vocabulary(vocab_size=500).hash
    assert Vocabulary.load(tmp_path / "d" / "vocab").hash == stamp["vocabulary"]


def test_data_of_other_text_is_not_touched(texts, tmp_path):
    run(texts, tmp_path / "d")
    before = {path: path.read_bytes() for path in (tmp_path / "d").glob("*.*")}
    texts.valid.write_text("other text\n")
    with pytest.raises(UserError, match="valid data was made from other text"):
        run(texts, tmp_path / "d")
    with pytest.raises(UserError, match="without shards"):
        run(texts, tmp_path / "d", "--shards", "2")
    assert {path: path.read_bytes() for path in (tmp_path / "d").glob("*.*")} == before
    run(texts, tmp_path / "d", "--overwrite")
    assert lines_of(tmp_path / "d" / "valid") == naive(samples.vocabulary(), [["other text"]])


def test_overwriting_with_fewer_shards_leaves_no_old_one(texts, tmp_path):
    run(texts, tmp_path / "d", "--shards", "4")
    run(texts, tmp_path / "d", "--shards", "2", "--overwrite")
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["shard0", "shard1"]


def test_a_folder_that_cannot_be_written_is_refused(texts, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file/d: cannot be written"):
        run(texts, tmp_path / "file" / "d")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(UserError, match="cannot be written"):
            run(texts, tmp_path / "locked")


def test_two_runs_do_not_write_to_one_folder(texts, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.2)
    with (
        folder_lock.locked(tmp_path / "d"),
        pytest.raises(UserError, match="another run is writing there"),
    ):
        run(texts, tmp_path / "d")


def test_a_lock_that_a_killed_run_left_for_a_moment_is_waited_for(tmp_path):
    first = folder_lock.locked(tmp_path / "d")
    first.__enter__()
    threading.Timer(0.5, first.__exit__, (None, None, None)).start()
    with folder_lock.locked(tmp_path / "d"):
        pass


def test_a_line_without_an_end_is_refused(texts, tmp_path, monkeypatch):
    monkeypatch.setattr(source_lines, "LONGEST_LINE", 1 << 16)
    file = texts.write("endless", b"x" * (3 << 20))
    assert "endless: line 1 is longer than" in refused(texts, tmp_path / "d", train=file)


def test_a_killed_worker_is_one_line(texts, tmp_path):
    texts.train.write_text(samples.text() * 40, "utf-8")
    process = spawn(texts, tmp_path / "d", workers=2)
    while not (tmp_path / "d" / ".partial" / "train.bin").exists():
        time.sleep(0.01)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "a worker process was killed" in stderr.splitlines()[-1]
    assert not (tmp_path / "d").exists() or list((tmp_path / "d").iterdir()) == []


def test_the_script_prints_errors_as_one_line(texts, tmp_path, root):
    words = command(texts, tmp_path / "d", train=tmp_path / "nowhere")
    done = subprocess.run(
        [sys.executable, "-m", "fairseq_metro", "binarize", *words],
        capture_output=True, text=True, cwd=root,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/nowhere: no such file\n"


def test_real_books_become_the_same_bytes_by_both_routes(shared, texts, tmp_path):
    books = sorted((shared / "data" / "text" / "books").glob("*.txt"))[:3]
    if not books:
        pytest.skip(f"no books in {shared}")
    for route in ("direct", "pieces"):
        run(texts, tmp_path / route, "--route", route, train=books, workers=2)
    assert same_files(tmp_path / "direct", tmp_path / "pieces")
    assert np.memmap(tmp_path / "direct" / "train.bin", np.uint16).max() < len(samples.vocabulary())
