"""A small vocabulary folder of the authors' kind, trained on the spot."""

import io

import sentencepiece

WORDS = "river stone house child winter letter follows carries the old small Bright quiet".split()
PIECES = 60


def write_theirs(folder, folds_case=True):
    """``sp.model`` and ``dict.txt`` as theirs: [CLS], [PAD], [SEP], [UNK], then the user's [MASK]."""
    folder.mkdir(parents=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(" ".join(WORDS[i % 13 :] + WORDS[: i % 7]) for i in range(60)),
        model_writer=model,
        vocab_size=PIECES,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc_cf" if folds_case else "nmt_nfkc",
        bos_id=0, pad_id=1, eos_id=2, unk_id=3,
        bos_piece="[CLS]", pad_piece="[PAD]", eos_piece="[SEP]", unk_piece="[UNK]",
        user_defined_symbols=["[MASK]"],
        minloglevel=2,
    )  # fmt: skip
    (folder / "sp.model").write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(i) for i in range(4, len(processor))]
    (folder / "dict.txt").write_text("".join(f"{piece} 1\n" for piece in pieces), "utf-8")
    return folder


def rows_of(folder, sentinels):
    """Symbols of their vocabulary with so many sentinels."""
    return 4 + len((folder / "dict.txt").read_text("utf-8").splitlines()) + sentinels
