#!/usr/bin/env python3
"""The direct route of binarizing against pieces as text plus fairseq-preprocess.

    python benchmarks/preprocess.py --text FILES.. --vocab VOCAB [--json FILE]

Both sides start from the same raw text in fresh processes, with the same number of workers, and end
with the same .bin and .idx (compared byte for byte). The rival is what one would type otherwise:
worker processes that normalise each line with the same normaliser and write what
`SentencePieceProcessor.encode(lines, out_type=str)` gives (spm_encode), then the real
`fairseq-preprocess --only-source --srcdict`. Time is wall clock of whole commands, the median of
--repeats; import times are in it, on both sides.
"""

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import read_json, write_json
from fairseq_metro.common.stamp import commit
from fairseq_metro.vocabulary.folder import DICTIONARY, TOKENIZER, Vocabulary

ROOT = Path(__file__).resolve().parent.parent
BATCH = 1000  # lines


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--text",
        nargs="+",
        required=True,
        type=Path,
        help="Plain-text files (UTF-8, otherwise Latin-1).",
    )
    parser.add_argument("--vocab", required=True, type=Path, help="Vocabulary folder.")
    parser.add_argument("--workers", type=int, default=2,
        help="Number of processes on each side (default: 2).")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=3,
        help="Number of runs per side (default: 3).")  # fmt: skip
    parser.add_argument("--json", type=Path, help="File to append the rows to.")
    parser.add_argument("--spm-encode", nargs=5, help=argparse.SUPPRESS)
    if argv is None and "--spm-encode" in sys.argv:
        return spm_encode_part(*sys.argv[sys.argv.index("--spm-encode") + 1 :])
    args = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "train.txt"
        with open(text, "wb") as stream:
            for path in args.text:
                stream.write(prepared(path))
        valid = Path(folder) / "valid.txt"
        valid.write_text("A line of validation text.\n")
        for normalization in ("none", "metro"):
            vocab = with_normalization(args.vocab, Path(folder) / "vocab", normalization)
            rows.append(measure(normalization, text, valid, vocab, Path(folder), args))
            print(
                "{name}: {ours:.2f} against {rival:.2f} {unit}, {ratio:.1f} times".format(
                    **rows[-1]
                ),
                flush=True,
            )
    if args.json:
        before = read_json(args.json) if args.json.exists() else []
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.json, before + rows)
    return 0


def prepared(path):
    """The file's text as bytes on which both sides must agree.

    Single blank lines only, none first, since the rival keeps each blank line; no control
    characters, since the rival loses an unknown one that Python counts as whitespace (U+0085).
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", " ", text.replace("\r\n", "\n"))
    text = re.sub(r"\n[^\S\n]*(?=\n)", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip().encode() + b"\n"


def with_normalization(vocab, folder, normalization):
    """A copy of the vocabulary with this normalisation."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(vocab, folder)
    write_json(
        folder / TOKENIZER, {**read_json(folder / TOKENIZER), "normalization": normalization}
    )
    return folder


def measure(normalization, text, valid, vocab, folder, args):
    """One row: throughput of both sides in MB of text per second."""
    ours, rival = folder / "ours", folder / "rival"
    megabytes = text.stat().st_size / 1e6
    times = {"ours": [], "rival": []}
    for _ in range(args.repeats):
        for path in (ours, rival):
            shutil.rmtree(path, ignore_errors=True)
        times["ours"].append(clock(lambda: binarize(text, valid, vocab, ours, args.workers)))
        times["rival"].append(
            clock(lambda: spm_and_fairseq(text, valid, vocab, rival, args.workers))
        )
    for name in ("train.bin", "train.idx"):
        if (ours / name).read_bytes() != (rival / "bin" / name).read_bytes():
            raise UserError(f"{name} differs between the two sides ({normalization})")
    speed = {side: megabytes / statistics.median(values) for side, values in times.items()}
    return {
        "name": f"binarize, direct, normalization {normalization}, against spm_encode as text "
        f"(same normaliser) + fairseq-preprocess, {args.workers} workers",
        "ours": round(speed["ours"], 3),
        "rival": round(speed["rival"], 3),
        "ratio": round(speed["ours"] / speed["rival"], 2),
        "unit": "MB/s",
        "megabytes": round(megabytes, 2),
        "seconds": {side: [round(value, 2) for value in values] for side, values in times.items()},
        "versions": versions(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def versions():
    """What the figures depend on."""
    found = {"python": platform.python_version(), "cpus": os.cpu_count()}
    for package in ("sentencepiece", "fairseq-fixed", "torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = version("fairseq") if package == "fairseq-fixed" else "unknown"
    return found


def clock(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def run(*command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-300:]}")


def binarize(text, valid, vocab, dest, workers):
    """Our side: the command a person types."""
    run(
        "-m", "fairseq_metro", "binarize", "--vocab", vocab, "--train", text, "--valid", valid,
        "--dest", dest, "--workers", workers,
    )  # fmt: skip


def spm_and_fairseq(text, valid, vocab, folder, workers):
    """The rival: pieces as text by ``workers`` processes, then fairseq-preprocess."""
    folder.mkdir(parents=True)
    parts = [
        subprocess.Popen(
            [sys.executable, __file__, "--spm-encode", str(text), str(vocab),
             str(folder / f"part{i}"), str(i), str(workers)]
        )
        for i in range(workers)
    ]  # fmt: skip
    if any(part.wait() for part in parts):
        raise UserError("spm-encode failed")
    with open(folder / "train.pieces", "wb") as whole:
        for i in range(workers):
            with open(folder / f"part{i}", "rb") as part:
                shutil.copyfileobj(part, whole)
    spm_encode_part(valid, vocab, folder / "valid.pieces", 0, 1)
    run(
        "-m", "fairseq_cli.preprocess", "--only-source", "--srcdict", vocab / DICTIONARY,
        "--trainpref", folder / "train.pieces", "--validpref", folder / "valid.pieces",
        "--destdir", folder / "bin", "--workers", workers,
    )  # fmt: skip


def spm_encode_part(text, vocab, out, part, parts):
    """Write part ``part`` of ``parts`` of a text as pieces, one line per line."""
    vocabulary = Vocabulary.load(vocab)
    size, part, parts = os.path.getsize(text), int(part), int(parts)
    with open(text, "rb") as source, open(out, "w", encoding="utf-8") as target:
        start, end = size * part // parts, size * (part + 1) // parts
        if start:
            source.seek(start - 1)
            source.readline()  # the line that holds byte start - 1 belongs to the part before
        batch = []
        while source.tell() < end:
            batch.append(vocabulary.normalizer(source.readline().decode("utf-8").rstrip("\n")))
            if len(batch) == BATCH:
                write_pieces(vocabulary, batch, target)
                batch.clear()
        write_pieces(vocabulary, batch, target)
    return 0


def write_pieces(vocabulary, lines, target):
    for pieces in vocabulary.processor.encode(lines, out_type=str, num_threads=1):
        target.write(" ".join(pieces) + "\n")


if __name__ == "__main__":
    sys.exit(run_command(main))
