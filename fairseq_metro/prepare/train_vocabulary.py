"""Train a vocabulary folder (spm.model, dict.txt, tokenizer.json) with SentencePiece.

The folder decides how text becomes ids everywhere: binarizing, training, evaluation. The same
text, options and seed give the same bytes. METRO-T0 used 32,768 pieces uncased (--vocab-size 32768
--lowercase --normalization metro) and 64,000 cased.
"""

import hashlib
import io
import json
import logging
import random
import re
import shutil
import time
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, writing
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.sources import (
    TEXT_FILES,
    Reading,
    add_reading_options,
    expand,
    names_of,
    reading_of,
)
from fairseq_metro.prepare.inputs import Inputs
from fairseq_metro.prepare.required_words import require_words
from fairseq_metro.vocabulary.folder import (
    DICTIONARY,
    FILES,
    MODEL,
    SPECIALS,
    TOKENIZER,
    VERSION,
    Vocabulary,
)
from fairseq_metro.vocabulary.normalization import NORMALIZATIONS, Normalizer
from fairseq_metro.vocabulary.own_symbols import OWN_ROLES, OWN_SYMBOLS

logger = logging.getLogger(__name__)

TRAINING_THREADS = 4  # fixed: SentencePiece's sums depend on it
LONGEST_SENTENCE = 20_000  # characters; longer lines are cut for training only
# White space, as Unicode and fairseq's reader of dict.txt see it, that SentencePiece takes for a
# letter or for nothing.
ODD_SPACE = re.compile("[\x0b\x0c\x1c-\x1f\x85\u2028\u2029]")


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--input", nargs="+", required=True, metavar="FILE",
        help=f"Training text; - reads standard input. {TEXT_FILES}")  # fmt: skip
    add("--out", required=True, type=Path, help="Vocabulary folder to write.")
    add("--vocab-size", required=True, type=int,
        help="Number of SentencePiece pieces, including the four special symbols. The mask and "
             "the sentinels are added to it (papers: 32768 uncased, 64000 cased).")  # fmt: skip
    add("--lowercase", action="store_true",
        help="Lower-case all text (paper: yes for base, no for base++).")  # fmt: skip
    add("--normalization", choices=NORMALIZATIONS, default="none",
        help="Text normalization before SentencePiece. 'metro' follows the authors' tokenizer, "
             "which separates punctuation from words (default: none).")  # fmt: skip
    add("--model-type", choices=("unigram", "bpe"), default="unigram",
        help="SentencePiece algorithm: unigram, as in the authors' published files, or bpe, as in "
             "their paper (default: unigram).")  # fmt: skip
    add("--byte-fallback", action="store_true",
        help="Encode unknown characters as bytes. 256 of the pieces are then bytes.")  # fmt: skip
    add("--require-words", type=Path, metavar="FILE",
        help="File of words, one per line, each of which must be a single piece, for example the "
             "label words of prompts.")  # fmt: skip
    add("--input-sentences", type=int, default=2_000_000, metavar="N",
        help="Maximum number of training lines, sampled uniformly (default: "
             "2,000,000).")  # fmt: skip
    add("--seed", type=int, default=1,
        help="Random seed for sampling the training lines (default: 1).")  # fmt: skip
    add_reading_options(parser)
    return parser


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    train_vocabulary(
        args.input, args.out, args.vocab_size, args.lowercase, args.normalization, args.model_type,
        args.byte_fallback, args.require_words, args.input_sentences, args.seed, reading_of(args),
    )  # fmt: skip
    return 0


def train_vocabulary(
    inputs, out, vocab_size, lowercase=False, normalization="none", model_type="unigram",
    byte_fallback=False, required_words=None, input_sentences=2_000_000, seed=1, reading=None,
):  # fmt: skip
    """Train and write the folder ``out``, or say that it is there; return the :class:`Vocabulary`.

    Raises :class:`UserError` where the text is empty or too small for so many pieces, a required
    word cannot be one piece, or ``out`` holds another vocabulary.
    """
    started = time.monotonic()
    inputs, reading = expand(inputs), reading or Reading()
    if vocab_size <= len(SPECIALS) + 256 * byte_fallback:
        raise UserError(f"--vocab-size is {vocab_size}, too small for anything but special symbols")
    if input_sentences < 1:
        raise UserError(f"--input-sentences is {input_sentences}, must be at least 1")
    normalizer = Normalizer(normalization, lowercase)
    words = read_words(required_words, normalizer) if required_words else []
    sentences, sha256, total = draw_sentences(inputs, input_sentences, seed, reading)
    for sentence in reading.bad_rows.summary():
        logger.warning("%s", sentence)
    if not sentences:
        raise UserError(f"{names_of(inputs)}: no text to learn a vocabulary from")
    settings = {
        "version": VERSION,
        "lowercase": lowercase,
        "normalization": normalization,
        "model_type": model_type,
        "byte_fallback": byte_fallback,
        "vocab_size": vocab_size,
        "roles": OWN_ROLES,
        "trained_on": {
            "sha256": sha256,
            "lines": len(sentences),
            "of_lines": total,
            "seed": seed,
            "required_words": words,
        },
    }
    if (there := vocabulary_there(out, settings)) is not None:
        logger.info("%s: the vocabulary is there already, reused", out)
        return there
    logger.info(
        "training %d %s pieces on %d of %d lines …", vocab_size, model_type, len(sentences), total
    )
    model = train_model(map(normalizer, sentences), vocab_size, model_type, byte_fallback, inputs)
    if words:
        model = require_words(model, words)
    write_folder(out, model, settings)
    vocabulary = Vocabulary.load(out)
    logger.info(
        "%s: %d pieces, %d symbols, %.0f s", out, vocab_size, len(vocabulary),
        time.monotonic() - started,
    )  # fmt: skip
    return vocabulary


def draw_sentences(inputs, most, seed, reading=None):
    """At most ``most`` non-blank lines, each as likely as any other (a reservoir).

    Odd white space in them is a space. Returns them, the SHA-256 of all text read, and the number of
    lines they were drawn from.
    """
    rng, digest = random.Random(seed), hashlib.sha256()
    kept, total = [], 0
    for chunk in Inputs(inputs, reading=reading):
        digest.update(chunk.data)
        for line in ODD_SPACE.sub(" ", chunk.text()).split("\n"):
            for start in range(0, len(line), LONGEST_SENTENCE):
                sentence = line[start : start + LONGEST_SENTENCE].strip()
                if not sentence:
                    continue
                total += 1
                if len(kept) < most:
                    kept.append(sentence)
                elif (place := rng.randrange(total)) < most:
                    kept[place] = sentence
    return kept, digest.hexdigest(), total


def train_model(sentences, vocab_size, model_type, byte_fallback, inputs):
    """A serialised SentencePiece model whose ids 0 to 3 are fairseq's specials."""
    import sentencepiece

    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=written, vocab_size=vocab_size,
            model_type=model_type, byte_fallback=byte_fallback,
            bos_id=0, pad_id=1, eos_id=2, unk_id=3,
            bos_piece=SPECIALS[0], pad_piece=SPECIALS[1], eos_piece=SPECIALS[2],
            unk_piece=SPECIALS[3],
            max_sentence_length=4 * LONGEST_SENTENCE + 4, num_threads=TRAINING_THREADS,
            minloglevel=2,
        )  # fmt: skip
    except (RuntimeError, OSError, ValueError) as error:
        name = names_of(inputs)
        if most := re.search(r"value <= (\d+)", str(error)):
            raise UserError(
                f"{name}: too little text for {vocab_size} pieces; give more, or --vocab-size "
                f"{most[1]} or less"
            ) from None
        if least := re.search(r"required_chars.*?\d+ vs (\d+)", str(error)):
            raise UserError(
                f"{name}: too many different characters for {vocab_size} pieces; give --vocab-size "
                f"{least[1]} or more"
            ) from None
        raise UserError(
            f"{name}: SentencePiece cannot learn {vocab_size} pieces from it ({error}); give more "
            "text, or a smaller --vocab-size"
        ) from None
    return written.getvalue()


def read_words(path, normalizer):
    """The required words of a file, normalised. Raises :class:`UserError` for more than a word."""
    words = {}
    for chunk in Inputs([path]):
        for line in filter(str.strip, chunk.text().split("\n")):
            parts = normalizer(line.strip()).split()
            if len(parts) != 1:
                raise UserError(
                    f"{path}: {line.strip()!r} is {len(parts)} words ({' '.join(parts)}) after "
                    "normalisation, so it cannot be one piece; one word a line"
                )
            words.setdefault(parts[0])
    if not words:
        raise UserError(f"{path}: no words in it; one word a line")
    return list(words)


def dictionary_text(model):
    """``dict.txt`` of a serialised model: pieces after the specials, then mask and sentinels."""
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_proto=model)
    pieces = [processor.id_to_piece(i) for i in range(len(SPECIALS), len(processor))]
    if clash := set(OWN_SYMBOLS) & set(pieces):
        raise UserError(f"the text made {min(clash)} a piece, which is a symbol of ours; remove it")
    return "".join(f"{symbol} 1\n" for symbol in [*pieces, *OWN_SYMBOLS])


def vocabulary_there(out, settings):
    """The vocabulary in ``out`` if it was made from the same text and options and is whole, else
    None.

    Raises :class:`UserError` where ``out`` holds a vocabulary made from others.
    """
    if not all((out / name).is_file() for name in FILES):
        return None
    if read_json(out / TOKENIZER) == settings:
        try:
            return Vocabulary.load(out)
        except UserError as error:
            logger.warning("%s; made again", error)
            return None
    raise UserError(
        f"{out}: holds a vocabulary made from other text or options; give another --out, or "
        "remove the folder"
    )


def check_written(temporary, out):
    """Raise :class:`UserError` where the files written cannot be used."""
    try:
        Vocabulary.load(temporary)
    except UserError as error:
        reason = str(error).replace(str(temporary), str(out))
        raise UserError(
            f"{reason}: this text makes no vocabulary that can be used; clean it, and train again"
        ) from None


def write_folder(out, model, settings):
    """Write the three files to a temporary folder, check them, and rename it to ``out``."""
    temporary = out.with_name(f".{out.name}.partial")
    with writing(out):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            (temporary / MODEL).write_bytes(model)
            (temporary / DICTIONARY).write_text(dictionary_text(model), "utf-8")
            text = json.dumps(settings, indent=2, ensure_ascii=False)
            (temporary / TOKENIZER).write_text(f"{text}\n", "utf-8")
            check_written(temporary, out)
            if out.is_dir() and set(FILES) >= {path.name for path in out.iterdir()}:
                shutil.rmtree(out)  # a part of a vocabulary, or nothing
            temporary.rename(out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
