"""The default corpus: English prose that every installation of this project carries already.

The topics of ``pydoc_data`` and the docstrings of the standard library, torch, numpy, fairseq and
sentencepiece, read as text (nothing is imported), cleaned of code and markup. One Python file
(or topic) is one document; a paragraph is a line; a blank line ends a document. Writes train.txt,
valid.txt and corpus.json, which says what went in and what came out. Needs no network; takes
seconds.
"""

import hashlib
import importlib.metadata
import importlib.util
import logging
import multiprocessing
import sys
import sysconfig
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import (
    atomic_write,
    read_json,
    refuse_unwritable,
    sha256_file,
    write_json,
    writing,
)
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.prepare import docstrings
from fairseq_metro.prepare.workers import available_cores

logger = logging.getLogger(__name__)

# Import name -> names under which it may be installed.
PACKAGES = {
    "torch": ("torch",),
    "numpy": ("numpy",),
    "fairseq": ("fairseq-fixed", "fairseq"),
    "sentencepiece": ("sentencepiece",),
}
LEAST_BYTES = 3_000_000
LEAST_DOCUMENT = 200  # characters; a file with less to say is left out
NOT_READ = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path,
        help="Folder to write the three files to.")  # fmt: skip
    parser.add_argument(
        "--valid-share", type=float, default=0.02,
        help="Fraction of the documents assigned to valid.txt, selected by a hash of their text "
             "(default: 0.02).",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=available_cores(),
        help="Number of processes; it does not affect the output (default: all cores, "
             "%(default)s).",
    )  # fmt: skip
    return parser


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    if not 0 < args.valid_share < 1:
        raise UserError(f"--valid-share is {args.valid_share}, must be between 0 and 1")
    write_corpus(args.out, args.valid_share, args.workers)
    return 0


def write_corpus(out, valid_share=0.02, workers=1):
    """Write the corpus to the folder ``out``, or say that it is there; return ``corpus.json``.

    Raises :class:`UserError` where a package is missing or there is too little text.
    """
    started = time.monotonic()
    recipe = {"valid_share": valid_share, "versions": versions(), "cleaning": cleaning_hash()}
    if (there := corpus_there(out, recipe)) is not None:
        logger.info("%s: the corpus is there already (%s), reused", out, in_words(there))
        return there
    refuse_unwritable(out)
    documents = collect(workers)
    split = {"train": [], "valid": []}
    for document in documents:
        split["valid" if draw(document) < valid_share else "train"].append(document)
    size = sum(len(d.encode()) + 1 for d in documents)
    if size < LEAST_BYTES:
        raise UserError(
            f"the default corpus has only {size / 1e6:.1f} MB of text, less than "
            f"{LEAST_BYTES / 1e6:.0f} MB: the installed packages carry too few docstrings "
            "(stripped?); give text files of your own instead"
        )
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, chosen in split.items():
            with atomic_write(out / f"{name}.txt") as stream:
                stream.write("\n".join(chosen))
        facts = {
            name: {
                "documents": len(chosen),
                "lines": sum(document.count("\n") for document in chosen),
                "bytes": (out / f"{name}.txt").stat().st_size,
                "sha256": sha256_file(out / f"{name}.txt"),
            }
            for name, chosen in split.items()
        }
        corpus = make_stamp(**recipe, **facts)
        write_json(out / "corpus.json", corpus)
    logger.info("%s: %s, %.0f s", out, in_words(corpus), time.monotonic() - started)
    return corpus


def in_words(corpus):
    """A corpus's size for the log."""
    return ", ".join(
        f"{name} {corpus[name]['bytes'] / 1e6:.2f} MB in {corpus[name]['documents']} documents"
        for name in ("train", "valid")
    )


def corpus_there(out, recipe):
    """The ``corpus.json`` of an earlier run with the same recipe and untouched files, or None."""
    try:
        corpus = read_json(out / "corpus.json")
        same = all(corpus.get(key) == value for key, value in recipe.items())
        whole = all(
            sha256_file(out / f"{name}.txt") == corpus[name]["sha256"]
            for name in ("train", "valid")
        )
    except (UserError, OSError, KeyError, AttributeError):
        return None
    return corpus if same and whole else None


def draw(document):
    """A number in [0, 1) that depends on the document's text alone."""
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big") / 2**64


def versions():
    """The version of Python and of each package, found without importing any."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package, distributions in PACKAGES.items():
        for name in distributions:
            try:
                versions[package] = importlib.metadata.version(name)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
        else:
            raise UserError(f"{package} is not installed; pip install {distributions[0]}")
    return versions


def cleaning_hash():
    """SHA-256 of the code that cleans, so that a corpus made by an older one is made again."""
    return sha256_file(docstrings.__file__)


def source_files():
    """All Python files of the standard library and the packages, in a fixed order."""
    roots = [Path(sysconfig.get_path("stdlib"))]
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.origin:
            raise UserError(f"the package {package} is not installed; see requirements.txt")
        roots.append(Path(spec.origin).parent)
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            if not NOT_READ & set(path.relative_to(root).parts):
                yield path


def collect(workers):
    """The documents, each a string of lines; no paragraph comes twice in the whole corpus."""
    # Not fork: whoever calls this may have threads.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    seen, documents = set(), []
    with pool:
        for texts in pool.map(_read, source_files(), chunksize=32):
            for lines in texts:
                fresh = [line for line in lines if line not in seen]
                seen.update(fresh)
                document = "".join(f"{line}\n" for line in fresh)
                if len(document) >= LEAST_DOCUMENT:
                    documents.append(document)
    return documents


def _read(path):
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    if path.name != "topics.py" and '"""' not in source and "'''" not in source:
        return []
    return docstrings.documents(source, apart=path.name == "topics.py")
