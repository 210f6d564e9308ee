"""Verbalizers: a word for each label, one token each, whose logits at the mask are compared."""

from dataclasses import dataclass

from fairseq_metro.common.errors import UserError

# LM-BFF's rule: any other word is what comes after a blank.
WITHOUT_BLANK = ("<", "[", ".", ",")


@dataclass(frozen=True)
class Verbalizer:
    """Labels in their order, their words, and the words' ids in one vocabulary: tuples."""

    labels: tuple[str, ...]
    words: tuple[str, ...]
    ids: tuple[int, ...]

    @classmethod
    def parse(cls, mapping, tok):
        """Find the token of each word of a mapping label -> word in a tokenizer.

        Raises :class:`UserError` for a word that is not one token, with its pieces, and for two
        labels with one token.
        """
        if len(mapping) < 2:
            raise UserError(f"a verbalizer needs two labels or more, not {len(mapping)}")
        ids = {}
        for label, word in mapping.items():
            token = word_id(str(word), tok)
            if token in ids:
                raise UserError(
                    f"label words {mapping[ids[token]]!r} ({ids[token]}) and {word!r} ({label}) "
                    "are the same token; give distinct words"
                )
            ids[token] = label
        return cls(tuple(map(str, mapping)), tuple(map(str, mapping.values())), tuple(ids))

    def index(self, label):
        """Place of a label. Raises :class:`UserError` for one that has no word."""
        try:
            return self.labels.index(str(label))
        except ValueError:
            raise UserError(f"label {label!r} has no word; there are {self.labels}") from None


def word_id(word, tok):
    """The one token of a label word. Raises :class:`UserError` that names its pieces."""
    if not word.startswith(WITHOUT_BLANK):
        ids = tok.encode(f" {word}")
    else:
        ids = [tok.literal(word)] if len(word) == 1 else tok.encode(word)
    if len(ids) == 1 and ids[0] != tok.unk:
        return ids[0]
    raise UserError(
        f"label word {word!r} is {len(ids)} tokens of this vocabulary ({' '.join(tok.pieces(ids))})"
        "; take another word, or train the vocabulary with --require-words"
    )
