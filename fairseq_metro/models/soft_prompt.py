"""Soft-prompt tuning: n trainable vectors before the encoder's input, all else frozen.

Lester et al. (2021), as FLAN's section 4.5 uses it. A checkpoint holds the vectors and what
identifies the frozen model; that model is loaded again from where it lies.
"""

import hashlib
import json
from pathlib import Path

import torch
from fairseq.models import FairseqEncoder, FairseqEncoderDecoderModel
from torch import nn

from fairseq_metro.common.errors import UserError
from fairseq_metro.models.metro_t5 import T5TransformerModel

PROMPT, FROZEN = "soft_prompt", "frozen_model"  # what a state dict holds


def add_soft_prompt(model, tokens, *, load, source=None, named=None, seed=1):
    """A :class:`SoftPromptModel` around ``model``, a ``t5_transformer`` or ``hf_t5`` just built.

    tokens: number of vectors, n. load(model, path): fills the model's parameters, ``--init-from``'s
    work; raises :class:`UserError`. source: path to load now; the vectors then begin as n random
    rows of the token table, drawn by ``seed``. Not given: it is loaded together with a checkpoint.
    named: the path that the user gave for that; None: the one in the checkpoint, as for a run that
    the user resumes. Raises :class:`UserError` for a number that cannot be.
    """
    longest = model.encoder.max_positions()
    if not 0 < tokens < longest:
        raise UserError(
            f"--soft-prompt-tokens is {tokens}, must be above 0 and below the model's {longest} "
            "positions"
        )
    prompted = SoftPromptModel(model, tokens, load, named)
    if source is not None:
        prompted.load_frozen(source)
        prompted.begin_as_rows_of_the_vocabulary(seed)
    return prompted


class SoftPromptTable(nn.Embedding):
    """A token table that gives the prompt's vectors for the first n tokens of every row, whatever
    their ids; its parameter is the table's own."""

    def __init__(self, table, prompt):
        super().__init__(*table.weight.shape, table.padding_idx, device="meta")
        self.weight = table.weight
        self._prompt = (prompt,)  # in a tuple: it is the model's parameter, not this module's

    def forward(self, tokens):
        """tokens (B, n + T) int64 -> (B, n + T, C)."""
        (prompt,) = self._prompt
        vectors = prompt.unsqueeze(0).expand(tokens.size(0), -1, -1)
        return torch.cat([vectors, super().forward(tokens[:, len(prompt) :])], dim=1)


class SoftPromptEncoder(FairseqEncoder):
    """An encoder that reads n tokens more: the prompt has positions 0 to n - 1."""

    def __init__(self, encoder, tokens):
        super().__init__(encoder.dictionary)
        self.encoder, self.tokens = encoder, tokens

    def forward(self, src_tokens, src_lengths=None, source_segments=None, **others):
        """src_tokens (B, T) -> what the encoder returns, of n + T positions."""
        if source_segments is not None:
            raise UserError("a soft prompt stands before one example; do not pack them")
        # Symbols that are no padding, and that the table does not look up.
        first = src_tokens.new_full((src_tokens.size(0), self.tokens), self.dictionary.unk())
        if src_lengths is not None:
            src_lengths = src_lengths + self.tokens
        return self.encoder(torch.cat([first, src_tokens], dim=1), src_lengths, **others)

    def reorder_encoder_out(self, encoder_out, new_order):
        return self.encoder.reorder_encoder_out(encoder_out, new_order)

    def max_positions(self):
        return self.encoder.max_positions() - self.tokens


class SoftPromptModel(T5TransformerModel):
    """A frozen encoder-decoder of ours whose only trained parameter is ``soft_prompt`` (n, C)."""

    def __init__(self, model, tokens, load, named=None):
        model.requires_grad_(False)
        table = model.encoder.embed_tokens
        prompt = nn.Parameter(torch.zeros(tokens, table.embedding_dim))
        model.encoder.embed_tokens = SoftPromptTable(table, prompt)
        encoder = SoftPromptEncoder(model.encoder, tokens)
        FairseqEncoderDecoderModel.__init__(self, encoder, model.decoder)
        self.soft_prompt = prompt
        self.num_updates, self.loaded_weights = 0, None
        self.frozen = None  # path and hash of the model, once it is loaded
        self._model, self._load, self._named = (model,), load, named
        self._register_state_dict_hook(_keep_the_prompt)

    def load_frozen(self, source):
        """Fill the frozen model from ``source`` and note which it is, by its float32 values."""
        (model,), dtype = self._model, self.soft_prompt.dtype
        self._load(model.float(), source)
        self.frozen = {"path": str(Path(source).absolute()), "sha256": parameters_hash(model)}
        model.to(dtype)

    def begin_as_rows_of_the_vocabulary(self, seed):
        """Copy n rows of the token table, specials left out, none twice while there are enough."""
        table = self.decoder.embed_tokens.weight
        ordinary, tokens = len(table) - self.encoder.dictionary.nspecial, len(self.soft_prompt)
        generator = torch.Generator().manual_seed(seed)
        rounds = -(-tokens // ordinary)
        drawn = [torch.randperm(ordinary, generator=generator) for _ in range(rounds)]
        rows = torch.cat(drawn)[:tokens] + self.encoder.dictionary.nspecial
        with torch.no_grad():
            self.soft_prompt.copy_(table[rows.to(table.device)])

    def load_state_dict(self, state_dict, strict=True, model_cfg=None, args=None):
        """The prompt of a checkpoint, and its frozen model where none is loaded yet.

        Raises :class:`UserError` where the checkpoint is of a whole model, of another number of
        vectors, or of another frozen model than the one loaded.
        """
        if set(state_dict) != {PROMPT, FROZEN}:
            raise UserError(
                "the checkpoint is of a whole model and holds no soft prompt; begin with it by "
                "--init-from, with another --save-dir"
            )
        prompt, theirs = state_dict[PROMPT], frozen_model(state_dict)
        if prompt.shape != self.soft_prompt.shape:
            raise UserError(
                f"the checkpoint's soft prompt has {len(prompt)} vectors of {prompt.size(1)}, this "
                f"model {len(self.soft_prompt)} of {self.soft_prompt.size(1)}; give "
                f"--soft-prompt-tokens {len(prompt)} and the --arch it was trained with"
            )
        if self.frozen is None:
            self._load_named(theirs["path"])
        if self.frozen["sha256"] != theirs["sha256"]:
            raise UserError(
                f"the checkpoint's soft prompt was trained with the model {theirs['path']} "
                f"({theirs['sha256'][:12]}), but {self.frozen['path']} is "
                f"{self.frozen['sha256'][:12]}; give that model with --init-from"
            )
        with torch.no_grad():
            self.soft_prompt.copy_(prompt)
        half = self.soft_prompt.dtype in (torch.float16, torch.bfloat16)
        self.loaded_weights = state_dict if half else None

    def _load_named(self, path):
        """Load the frozen model. path: where the checkpoint says that it was."""
        if self._named is not None:
            if not self._named:
                raise UserError(
                    "the checkpoint holds a soft prompt, and a path in a checkpoint is not "
                    f"followed; name the model it was trained with, then {path!a}, by "
                    "--frozen-model (a fairseq command: --init-from)"
                )
            path = self._named
        if not Path(path).exists():
            raise UserError(
                f"{path}: no such model, but the soft prompt was trained with it; give its new "
                "place with --init-from"
            )
        self.load_frozen(path)


def _keep_the_prompt(model, state, prefix, _):
    """A state dict's hook: the prompt and what identifies the frozen model stay."""
    if not isinstance(model, SoftPromptModel):
        return
    for key in [key for key in state if key.startswith(prefix) and key != prefix + PROMPT]:
        del state[key]
    identity = json.dumps(model.frozen).encode()
    state[prefix + FROZEN] = torch.tensor(list(identity), dtype=torch.uint8)


def frozen_model(state_dict):
    """What a soft prompt's state dict says of its frozen model: dict of ``path`` and ``sha256``."""
    return json.loads(bytes(state_dict[FROZEN].tolist()))


def parameters_hash(model):
    """SHA-256 over names, shapes and float32 values of a model's parameters, one table once."""
    digest = hashlib.sha256()
    for name, value in sorted(model.named_parameters()):
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()
