"""Tokenizers small enough to check by eye: byte-level BPE in which chosen words are one piece."""

import json

from fairseq_metro.vocabulary.byte_bpe import ByteBPE, byte_characters
from fairseq_metro.vocabulary.tokenizers import ByteLevelTokenizer

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
WORDS = (
    "It was This is No Yes Maybe great terrible good bad okay correct incorrect subjective "
    "objective Description Entity Expression Human Location Number"
).split()


def bpe_files(words=WORDS, padding=3):
    """Vocabulary and merges in which each word after a blank is one piece.

    padding: rows between the pieces and the mask, as forks of dict.txt have more or fewer.
    """
    characters = byte_characters()
    merges, pieces = [], list(characters)
    for word in words:
        left = "Ġ"
        for character in word:
            pair = (left, characters[ord(character)])
            left = "".join(pair)
            if pair not in merges:
                merges.append(pair)
                pieces.append(left)
    padded = [f"madeupword{n:04d}" for n in range(padding)]
    return {p: i for i, p in enumerate([*SPECIALS, *pieces, *padded, "<mask>"])}, merges


def tokenizer(words=WORDS, padding=3):
    return ByteLevelTokenizer(ByteBPE(*bpe_files(words, padding)), "tiny")


def write_folder(folder, words=WORDS):
    """``vocab.json`` and ``merges.txt`` as Hugging Face writes them."""
    vocabulary, merges = bpe_files(words)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    lines = ["#version: 0.2", *map(" ".join, merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder
