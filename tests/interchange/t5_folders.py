"""Hugging Face T5 folders made on the spot: random models and a small tokenizer of T5's kind."""

import io

import sentencepiece

from tests.interchange.vocabulary import WORDS

PIECES = 60


def tokenizer_model(bos=False, words=WORDS):
    """A serialised SentencePiece model with T5's ids: <pad> 0, </s> 1, <unk> 2."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(" ".join(words[i % 13 :] + words[: i % 7]) for i in range(60)),
        model_writer=model, vocab_size=PIECES, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=3 if bos else -1, minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


# Their names of what varies, all at once; every folder has 3 layers somewhere.
KINDS = {
    "v1.0": dict(feed_forward_proj="relu", tie_word_embeddings=True),
    "v1.1": dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "tied gelu": dict(feed_forward_proj="gated-gelu", tie_word_embeddings=True,
                      relative_attention_num_buckets=10, relative_attention_max_distance=17),
    "untied relu": dict(feed_forward_proj="relu", tie_word_embeddings=False, num_decoder_layers=1,
                        layer_norm_epsilon=1e-3),
}  # fmt: skip


def random_model(rows, family="T5", **changes):
    """transformers' T5ForConditionalGeneration or MT5..., no parameter of which is 0 or 1."""
    import torch
    import transformers

    config_of = getattr(transformers, f"{family}Config")
    model_of = getattr(transformers, f"{family}ForConditionalGeneration")

    sizes = dict(
        d_model=20, d_kv=6, d_ff=28, num_heads=4, num_layers=3, num_decoder_layers=2,
        vocab_size=rows, decoder_start_token_id=0, dropout_rate=0.1,
    )  # fmt: skip
    model = model_of(config_of(**{**sizes, **changes})).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.add_(0.3 * noise)
            else:
                wide = "shared" in name or "relative" in name
                parameter.copy_(noise * (1.0 if wide else parameter.size(1) ** -0.5))
    return model


def write_folder(folder, rows=None, extra_ids=5, spare=3, tokenizer=None, **changes):
    """A folder as transformers saves it; returns (folder, model)."""
    tokenizer = tokenizer or tokenizer_model()
    pieces = len(sentencepiece.SentencePieceProcessor(model_proto=tokenizer))
    model = random_model(pieces + extra_ids + spare if rows is None else rows, **changes)
    model.save_pretrained(folder)
    (folder / "spiece.model").write_bytes(tokenizer)
    (folder / "tokenizer_config.json").write_text(
        f'{{"tokenizer_class": "T5Tokenizer", "extra_ids": {extra_ids}}}'
    )
    return folder, model
