"""RoBERTa folders made on the spot: random models with a byte-level tokenizer of a few words."""

import json

from tests.smash import tiny

WORDS = "the old river carries stone bright winter house a letter".split()
SYMBOLS = len(tiny.bpe_files(WORDS)[0])


def random_model(**changes):
    """transformers' RobertaForMaskedLM, no parameter of which is 0 or 1, token types included."""
    import torch
    from transformers import RobertaConfig, RobertaForMaskedLM

    sizes = dict(
        vocab_size=SYMBOLS, hidden_size=24, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=40, max_position_embeddings=34, type_vocab_size=1, layer_norm_eps=1e-5,
    )  # fmt: skip
    model = RobertaForMaskedLM(RobertaConfig(**{**sizes, **changes})).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.add_(0.3 * noise)
            else:
                parameter.copy_(noise * parameter.size(1) ** -0.5)
    return model


def write_folder(folder, **changes):
    """A folder as transformers saves it, with its tokenizer; returns (folder, model)."""
    model = random_model(**changes)
    model.save_pretrained(folder)
    tiny.write_folder(folder, WORDS)
    return folder, model


def tokens(*sizes, seed=1, left=False):
    """Padded random inputs (B, T), ``<s>`` first."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(2, SYMBOLS, (len(sizes), max(sizes)), generator=generator)
    x[:, 0] = 0
    for row, size in enumerate(sizes):
        x[row, size:] = 1
        if left:
            x[row] = x[row].roll(max(sizes) - size)
    return x


def gpt2_files(folder):
    """fairseq's files of the same tokenizer: ``encoder.json``, ``vocab.bpe`` and a ``dict.txt``.

    GPT-2's ids are the pieces' numbers backwards, so that they are neither fairseq's nor in order.
    """
    vocabulary, merges = tiny.bpe_files(WORDS)
    folder.mkdir(exist_ok=True)
    pieces = [p for p in vocabulary if p not in tiny.SPECIALS and p != "<mask>"]
    numbers = {p: n for n, p in enumerate(reversed(pieces)) if not p.startswith("madeup")}
    lines = [f"{numbers.get(piece, piece)} 7\n" for piece in pieces]
    (folder / "dict.txt").write_text("".join(lines), "utf-8")
    (folder / "encoder.json").write_text(json.dumps(numbers), "utf-8")
    text = "\n".join(["#version: 0.2", *map(" ".join, merges)])
    (folder / "vocab.bpe").write_text(text + "\n", "utf-8")
    return vocabulary
