"""Make given words single pieces of a trained SentencePiece model, at the same number of pieces.

A user-defined symbol would do it too, but is cut out of every longer word ("greatness") before
anything else is looked at. So a missing word becomes an ordinary piece instead, and the least
useful pieces make room:

- unigram: its score lies just above that of the best segmentation it replaces;
- BPE: it is the last merge of all (with the merges that lead to it), so nothing learned changes.
"""

from fairseq_metro.common.errors import UserError

SPACE = "\u2581"
ABOVE = 0.1  # nats by which a unigram piece beats its word's best segmentation
ROUNDS = 4  # making room may undo an earlier word; then it is put back


def require_words(model, words):
    """The serialised ``model`` changed so that each of ``words`` is cut into itself alone.

    A mark of one character, no letter or digit, becomes a piece without a blank, which prompts put
    after a word. Raises :class:`UserError` where that cannot be done.
    """
    from sentencepiece import SentencePieceProcessor
    from sentencepiece import sentencepiece_model_pb2 as messages

    proto = messages.ModelProto()
    proto.ParseFromString(model)
    bpe = proto.trainer_spec.model_type == messages.TrainerSpec.BPE
    normal = messages.ModelProto.SentencePiece.NORMAL
    marks = [word for word in words if len(word) == 1 and not word.isalnum()]
    words = [word for word in words if word not in marks]
    kept = {SPACE + word for word in words} | set(marks)
    known = {piece.piece for piece in proto.pieces}
    for mark in marks:
        if mark not in known:
            _put(proto, mark, min(piece.score for piece in proto.pieces), kept, normal)
    for _ in range(ROUNDS):
        missing = 0
        for word in words:
            processor = SentencePieceProcessor(model_proto=proto.SerializeToString())
            ids = processor.encode(word)
            if any(map(processor.is_unknown, ids)):
                raise UserError(
                    f"required word {word!r} has characters that are no pieces; give text that "
                    "contains them, or --byte-fallback"
                )
            pieces = [processor.id_to_piece(i) for i in ids]
            if pieces == [SPACE + word]:
                continue
            missing += 1
            kept.update(pieces)
            if bpe:
                merged = ["".join(pieces[:n]) for n in range(2, len(pieces))] + [SPACE + word]
                lowest = min(piece.score for piece in proto.pieces)
                scores = [lowest - n for n in range(1, len(merged) + 1)]
            else:
                merged = [SPACE + word]
                scores = [sum(map(processor.get_score, ids)) + ABOVE]
            kept.update(merged)
            for piece, score in zip(merged, scores, strict=True):
                _put(proto, piece, score, kept, normal)
        if not missing:
            return proto.SerializeToString()
    raise UserError(
        f"--vocab-size {len(proto.pieces)} has no room for {len(words)} required words; give a "
        "larger one"
    )


def _put(proto, text, score, kept, normal):
    """Give the piece ``text`` this score, in the place of the least useful piece if it is new."""
    for piece in proto.pieces:
        if piece.piece == text:
            piece.score = score
            return
    # Single characters stay: without them words become unknown.
    spare = [
        p for p in proto.pieces if p.type == normal and len(p.piece) > 1 and p.piece not in kept
    ]
    if not spare:
        raise UserError(
            f"--vocab-size {len(proto.pieces)} has no room for the required words; give a larger "
            "one"
        )
    least = min(spare, key=lambda piece: piece.score)
    least.piece, least.score = text, score
