"""Raw text to a data folder: DEST/{train,valid,test}.{bin,idx}, dict.txt, vocab/, stamp.json.

One line of text is one line of tokens, ended by </s>; documents are kept apart by lines of </s>
alone. Works on corpora of any size in flat memory and on all cores; the bytes written do not depend
on the number of workers. Interrupted, the same command goes on after the last finished shard.

With --shards or --shard-size, DEST/shard0, DEST/shard1, … are data folders of their own (valid and
test in the first), to be given to fairseq-train joined by colons: one is read per epoch.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file, write_json, writing
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.sources import (
    STANDARD_INPUT,
    TEXT_FILES,
    Reading,
    add_reading_options,
    expand,
    names_of,
    reading_of,
)
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.data.indexed import PARTIAL, STAMP, IndexedTokens, read_stamp
from fairseq_metro.prepare.assembling import Assembler, TextDigest
from fairseq_metro.prepare.encoding import Encoders
from fairseq_metro.prepare.folder_lock import locked, terminated_as_interrupted
from fairseq_metro.prepare.inputs import Inputs
from fairseq_metro.prepare.progress import Progress
from fairseq_metro.prepare.shards import numbered_chunks
from fairseq_metro.prepare.workers import available_cores
from fairseq_metro.vocabulary.characters import Characters, add_allow_unknown
from fairseq_metro.vocabulary.folder import DICTIONARY, VOCAB_FOLDER, Vocabulary

logger = logging.getLogger(__name__)

UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}


@dataclass(frozen=True)
class Plan:
    """The validated plan of a command."""

    vocabulary: Vocabulary
    train: list
    held_out: dict  # "valid" and perhaps "test" -> files
    dest: Path
    workers: int
    shards: int | None
    shard_bytes: int | None
    blank_ends_document: bool
    route: str
    overwrite: bool
    reading: Reading
    allow_unknown: bool = False

    @property
    def sharded(self):
        return self.shard_bytes is not None

    def folder(self, shard):
        """Where a shard's files go."""
        return self.dest / f"shard{shard}" if self.sharded else self.dest


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    with terminated_as_interrupted():
        binarize(plan(args))
    return 0


def parser():
    """Build the command's argument parser."""
    made = CommandParser(description=__doc__)
    add = made.add_argument
    add("--vocab", required=True, type=Path,
        help="Vocabulary folder written by fairseq-metro vocabulary.")  # fmt: skip
    add("--train", nargs="+", required=True, metavar="FILE",
        help=f"Training text; - reads standard input. {TEXT_FILES}")  # fmt: skip
    add("--valid", nargs="+", required=True, metavar="FILE", help="Validation text.")
    add("--test", nargs="+", metavar="FILE", help="Test text.")
    add("--dest", required=True, type=Path, help="Data folder to write.")
    add("--workers", type=int, default=available_cores(), metavar="N",
        help="Number of encoding processes (default: all cores, %(default)s).")  # fmt: skip
    add("--shards", type=int, metavar="N",
        help="Split the training text at document ends into N parts of about equal size. "
             "Compressed files are read twice to learn their size. Not available for standard "
             "input.")  # fmt: skip
    add("--shard-size", metavar="BYTES",
        help="Split the training text into parts of about this many bytes instead (2000000, 500M, "
             "10G).")  # fmt: skip
    add("--documents", choices=("blank-line", "file"), default="blank-line",
        help="What ends a document in plain text: a blank line or the end of a file, or the end "
             "of a file only, in which case blank lines are ignored. Every row of a table is a "
             "document (default: blank-line).")  # fmt: skip
    add_reading_options(made)
    add("--route", choices=("direct", "pieces"), default="direct",
        help="How text is encoded. 'pieces' writes the pieces as text and runs fairseq-preprocess "
             "on them; the bytes are the same, but it is slower. Use it to check the direct route "
             "(default: direct).")  # fmt: skip
    add_allow_unknown(add)
    add("--overwrite", action="store_true",
        help="Replace existing data in DEST that was made from other text or another "
             "vocabulary.")  # fmt: skip
    return made


def plan(args):
    """The :class:`Plan` of parsed arguments. Raises :class:`UserError` for what cannot be done."""
    if args.workers < 1:
        raise UserError(f"--workers is {args.workers}, must be at least 1")
    if args.shards is not None and args.shards < 1:
        raise UserError(f"--shards is {args.shards}, must be at least 1")
    if args.shards and args.shard_size:
        raise UserError("--shards and --shard-size say the same thing; give one of them")
    reading = reading_of(args)
    splits = {"train": args.train, "valid": args.valid} | ({"test": args.test} if args.test else {})
    splits = {name: expand(files) for name, files in splits.items()}
    check_apart(splits)
    for files in splits.values():
        Inputs(files)  # every file can be opened
    vocabulary = Vocabulary.load(args.vocab)
    vocabulary.require_tokenizer()
    shard_bytes = byte_count(args.shard_size) if args.shard_size else None
    if args.shards:
        if STANDARD_INPUT in splits["train"]:
            raise UserError(
                "--shards needs the size of the text, which standard input does not tell; give "
                "--shard-size BYTES instead"
            )
        shard_bytes = max(
            1, -(-Inputs(splits["train"], reading=reading).text_bytes() // args.shards)
        )
    return Plan(
        vocabulary=vocabulary, train=splits["train"], dest=args.dest, workers=args.workers,
        held_out={name: files for name, files in splits.items() if name != "train"},
        shards=args.shards, shard_bytes=shard_bytes, route=args.route, overwrite=args.overwrite,
        allow_unknown=args.allow_unknown,
        blank_ends_document=args.documents == "blank-line", reading=reading,
    )  # fmt: skip


def check_apart(splits):
    """Raise :class:`UserError` if one file is named twice, in one split or in two."""
    seen = {}
    for split, files in splits.items():
        for file in files:
            real = os.path.realpath(file) if file != STANDARD_INPUT else file
            if real in seen:
                raise UserError(
                    f"{file}: given for --{seen[real]} and again for --{split}; a text belongs "
                    "to one split, once"
                )
            seen[real] = split


def byte_count(text):
    """A number of bytes such as ``2000000``, ``500M`` or ``10G``."""
    factor = UNITS.get(text[-1:].lower(), 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdecimal() or int(digits) == 0:
        raise UserError(f"--shard-size is {text!r}, must be a number of bytes such as 500M")
    return int(digits) * factor


def binarize(plan):
    """Write, or complete, the data folder of a :class:`Plan`; return the stamps, one per shard.

    Raises :class:`UserError` for text that is missing, empty or not UTF-8, and for a ``DEST`` that
    cannot be written or holds other data. No error leaves a half-written file behind.
    """
    started = time.monotonic()
    with locked(plan.dest), contextlib.ExitStack() as stack:
        check_dest(plan)
        partial = plan.dest / PARTIAL
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        stack.callback(shutil.rmtree, partial, ignore_errors=True)
        encoders = stack.enter_context(
            Encoders(
                plan.vocabulary.path, plan.workers, plan.blank_ends_document,
                as_text=plan.route == "pieces",
            )
        )  # fmt: skip
        inputs = Inputs(plan.train, reading=plan.reading)
        progress = Progress(inputs)
        numbered = numbered_chunks(
            inputs, plan.shard_bytes, plan.blank_ends_document, most=plan.shards
        )
        stamps = []
        for shard, group in groupby(numbered, key=itemgetter(0)):
            stamp = Shard(plan, shard, encoders, progress).make(map(itemgetter(1), group))
            if stamp is not None:
                stamps.append(stamp)
        progress.close()
        if not stamps:
            raise UserError(f"{names_of(plan.train)}: no text for --train")
        if plan.shards and len(stamps) < plan.shards:
            raise UserError(
                f"{names_of(plan.train)}: the text fills only {len(stamps)} of {plan.shards} "
                "shards; give a smaller --shards, or more text"
            )
        remove_surplus(plan, len(stamps))
    report(plan, stamps, time.monotonic() - started)
    return stamps


def report(plan, stamps, seconds):
    """Log the data that now exists, and the argument for fairseq-train."""
    total = Counter()
    for stamp in stamps:
        total.update({k: stamp["splits"]["train"][k] for k in ("lines", "documents", "tokens")})
    logger.info(
        "%s: %d training tokens, %d lines, %d documents, %.1f s",
        plan.dest, total["tokens"], total["lines"], total["documents"], seconds,
    )  # fmt: skip
    for name, split in stamps[0]["splits"].items():
        if split["dropped"]:
            logger.warning("%s: %d lines had no tokens and were dropped", name, split["dropped"])
    for name, characters in characters_of(stamps).items():
        characters.report(name, logger)
    for sentence in plan.reading.bad_rows.summary():
        logger.warning("%s", sentence)
    if plan.sharded:
        folders = ":".join(str(plan.folder(shard)) for shard in range(len(stamps)))
        logger.info("for fairseq-train: %s", folders)


def characters_of(stamps):
    """The Characters of each split, all shards together, as far as stamps have them: dict."""
    counts = {}
    for split, facts in (item for stamp in stamps for item in stamp["splits"].items()):
        if "characters" in facts:
            here = Characters(facts["characters"], facts["unknown_characters"])
            counts[split] = counts.get(split, Characters()) + here
    return counts


def check_dest(plan):
    """Raise :class:`UserError` if ``DEST`` cannot be written or holds other data."""
    if not os.access(plan.dest, os.W_OK | os.X_OK):
        raise UserError(f"{plan.dest}: cannot be written (no permission); give another --dest")
    if plan.overwrite:
        return
    if plan.sharded and (plan.dest / STAMP).exists():
        raise UserError(
            f"{plan.dest}: holds data without shards; give another --dest, or --overwrite"
        )
    for path in (plan.dest, *sorted(plan.dest.glob("shard*"))):
        if not (path / STAMP).exists():
            continue
        if path != plan.dest and not plan.sharded:
            raise UserError(f"{path}: holds a shard; give another --dest, or --overwrite")
        if read_stamp(path)["vocabulary"] != plan.vocabulary.hash:
            raise UserError(
                f"{path}: holds data made with another vocabulary than {plan.vocabulary.path}; "
                "give another --dest, or --overwrite"
            )


def remove_surplus(plan, shards):
    """After overwriting: no stamped shard may stay that does not belong to the new data."""
    if not plan.overwrite:
        return
    kept = {plan.folder(shard) for shard in range(shards)}
    for folder in plan.dest.glob("shard*"):
        if folder not in kept and (folder / STAMP).exists():
            shutil.rmtree(folder)
    if plan.sharded and (plan.dest / STAMP).exists():
        (plan.dest / STAMP).unlink()


class Shard:
    """One data folder: recognised if it is there, else encoded and put in place, the stamp last."""

    def __init__(self, plan, number, encoders, progress):
        self.plan, self.number, self.encoders, self.progress = plan, number, encoders, progress
        self.folder = plan.folder(number)
        self.partial = plan.dest / PARTIAL

    def make(self, train_chunks):
        """The stamp of the finished folder, or None where ``train_chunks`` hold no text at all."""
        reading = self.plan.reading
        splits = {name: Inputs(files, reading=reading) for name, files in self.held_out().items()}
        splits["train"] = train_chunks
        if (stamp := self.finished()) is not None:
            return self.recognise(stamp, splits)
        facts = {name: self.write_split(name, chunks) for name, chunks in splits.items()}
        if facts["train"]["lines"] == 0:
            return None
        for name, split in facts.items():
            if split["lines"] == 0:
                raise UserError(f"{names_of(self.held_out()[name])}: no text for --{name}")
        if self.plan.route == "pieces":
            self.run_fairseq_preprocess(facts)
        return self.put_in_place(facts)

    def held_out(self):
        """The files of valid and test, which stand in the first shard."""
        return self.plan.held_out if self.number == 0 else {}

    # A finished folder

    def finished(self):
        """The stamp in the folder if its files are whole and made with this vocabulary, or None."""
        if self.plan.overwrite or not (self.folder / STAMP).exists():
            return None
        stamp = read_stamp(self.folder)
        try:
            for name in stamp["splits"]:
                IndexedTokens(self.folder / name)
            same = Vocabulary.load(self.folder / VOCAB_FOLDER).hash == stamp["vocabulary"]
        except UserError as error:
            logger.warning("%s; made again", error)
            return None
        return stamp if same and (self.folder / DICTIONARY).exists() else None

    def recognise(self, stamp, splits):
        """Read the text without encoding it; raise :class:`UserError` if it is not the stamp's."""
        for name, chunks in splits.items():
            digest = TextDigest(self.plan.blank_ends_document)
            for chunk in chunks:
                digest.add(chunk)
            existing = stamp["splits"].get(name, {}).get("text_sha256")
            if digest.hexdigest() != existing:
                raise UserError(
                    f"{self.folder}: its {name} data was made from other text, or cut otherwise; "
                    "give another --dest, or --overwrite"
                )
        if stamp["splits"].keys() != splits.keys():
            raise UserError(
                f"{self.folder}: holds {', '.join(stamp['splits'])}, not {', '.join(splits)}; give "
                "another --dest, or --overwrite"
            )
        logger.info("%s: finished already, reused", self.folder)
        return stamp

    # A new folder

    def write_split(self, name, chunks):
        """Encode one split into the partial folder; return the facts for the stamp."""
        self.partial.mkdir(exist_ok=True)
        digest = TextDigest(self.plan.blank_ends_document)
        assembler = Assembler(self.partial / name, self.plan.vocabulary, self.plan.route)
        with contextlib.closing(assembler):
            for encoded in self.encoders.map(digest.through(chunks)):
                assembler.add(encoded)
                self.progress.show(f"{self.folder.name}/{name}", len(encoded.tokens))
        assembler.characters().refuse(f"{self.folder}: {name}", self.plan.allow_unknown)
        facts = assembler.facts()
        if name != "train":
            del facts["commonest_token"]
        return facts | {"text_bytes": digest.bytes, "text_sha256": digest.hexdigest()}

    def run_fairseq_preprocess(self, facts):
        """Turn the partial folder's pieces into ``.bin`` and ``.idx`` by fairseq itself."""
        made = self.partial / "fairseq"
        command = [
            sys.executable, "-m", "fairseq_cli.preprocess", "--only-source",
            "--srcdict", str(self.plan.vocabulary.path / DICTIONARY), "--destdir", str(made),
            "--workers", str(self.plan.workers),
        ]  # fmt: skip
        for name in facts:
            command += [f"--{name}pref", str(self.partial / f"{name}.pieces")]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
            raise UserError(f"fairseq-preprocess failed with status {done.returncode}: {last}")
        for name in facts:
            for suffix in (".bin", ".idx"):
                (made / f"{name}{suffix}").rename(self.partial / f"{name}{suffix}")
            facts[name]["sha256"] = sha256_file(self.partial / f"{name}.bin")
        (made / DICTIONARY).rename(self.partial / DICTIONARY)

    def put_in_place(self, facts):
        """Rename the partial files into the folder, the stamp last of all; return the stamp."""
        vocabulary = self.plan.vocabulary
        facts = {name: facts[name] for name in ("train", "valid", "test") if name in facts}
        stamp = make_stamp(
            vocabulary=vocabulary.hash,
            dictionary=sha256_file(vocabulary.path / DICTIONARY),
            data=data_hash(facts),
            documents="blank-line" if self.plan.blank_ends_document else "file",
            splits=facts,
        )
        with writing(self.folder):
            if not (self.partial / DICTIONARY).exists():
                shutil.copyfile(vocabulary.path / DICTIONARY, self.partial / DICTIONARY)
            # All of it is written here first: a kill at any moment leaves nothing elsewhere.
            vocabulary.copy_to(self.partial / VOCAB_FOLDER)
            write_json(self.partial / STAMP, stamp)
            self.folder.mkdir(exist_ok=True)
            (self.folder / STAMP).unlink(missing_ok=True)
            shutil.rmtree(self.folder / VOCAB_FOLDER, ignore_errors=True)
            files = [f"{name}{suffix}" for name in facts for suffix in (".bin", ".idx")]
            for name in (*files, DICTIONARY, VOCAB_FOLDER, STAMP):
                os.replace(self.partial / name, self.folder / name)
            shutil.rmtree(self.partial)
        return stamp


def data_hash(facts):
    """One SHA-256 over the tokens of all splits."""
    text = "".join(f"{name} {split['sha256']}\n" for name, split in sorted(facts.items()))
    return hashlib.sha256(text.encode()).hexdigest()
