"""Which parameter of RoBERTa is which of :class:`~fairseq_metro.models.roberta.RobertaMLMModel`.

Two families of names: Hugging Face's ``RobertaForMaskedLM`` and fairseq's ``RobertaModel``. Our
projections of queries, keys and values are packed; the token table is one parameter.
"""

import re

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange.authors_keys import TOKENS

POSITIONS = "encoder.embed_positions.weight"
BIAS = "lm_head.bias"
HUGGING_FACE, FAIRSEQ = "Hugging Face's", "fairseq's"

# Outside of layers, then within one; weight and bias each. Then tables and the head's bias.
_TOP = {
    "encoder.layernorm_embedding": ("roberta.embeddings.LayerNorm", "{s}.layernorm_embedding"),
    "lm_head.dense": ("lm_head.dense", "encoder.lm_head.dense"),
    "lm_head.layer_norm": ("lm_head.layer_norm", "encoder.lm_head.layer_norm"),
}
_LAYER = {
    "self_attn.qkv_proj": (
        ("attention.self.query", "attention.self.key", "attention.self.value"),
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ),
    "self_attn.out_proj": (("attention.output.dense",), ("self_attn.out_proj",)),
    "self_attn_layer_norm": (("attention.output.LayerNorm",), ("self_attn_layer_norm",)),
    "ffn.fc1": (("intermediate.dense",), ("fc1",)),
    "ffn.fc2": (("output.dense",), ("fc2",)),
    "final_layer_norm": (("output.LayerNorm",), ("final_layer_norm",)),
}
_SENTENCE = "encoder.sentence_encoder"
_LAYERS_AT = ("roberta.encoder.layer", f"{_SENTENCE}.layers")
_TABLES = {
    TOKENS: ("roberta.embeddings.word_embeddings.weight", f"{_SENTENCE}.embed_tokens.weight"),
    POSITIONS: (
        "roberta.embeddings.position_embeddings.weight",
        f"{_SENTENCE}.embed_positions.weight",
    ),
    BIAS: ("lm_head.bias", "encoder.lm_head.bias"),
}
# The same parameters under other names; they must be equal where both are there.
_ALIASES = {
    "lm_head.decoder.weight": TOKENS,
    "lm_head.decoder.bias": BIAS,
    "encoder.lm_head.weight": TOKENS,
}
TOKEN_TYPES = "roberta.embeddings.token_type_embeddings.weight"
_IGNORED = re.compile(
    r"(roberta\.)?pooler\..*|roberta\.embeddings\.(position|token_type)_ids|(.*\.)?version|"
    r"classification_heads\..*"
)
_OLD_NAMES = (
    (re.compile(r"^decoder\."), "encoder."),
    (re.compile(r"\.emb_layer_norm\."), ".layernorm_embedding."),
)
_PACKED = re.compile(r"(.*\.self_attn\.)in_proj_(weight|bias)")


def entries(layers, family):
    """(our name, their names) of every parameter; several of theirs are packed into one of ours."""
    which = (HUGGING_FACE, FAIRSEQ).index(family)
    for ours, theirs in _TABLES.items():
        yield ours, (theirs[which],)
    for kind in ("weight", "bias"):
        for ours, theirs in _TOP.items():
            yield f"{ours}.{kind}", (f"{theirs[which].format(s=_SENTENCE)}.{kind}",)
        for i in range(layers):
            for ours, theirs in _LAYER.items():
                names = tuple(f"{_LAYERS_AT[which]}.{i}.{name}.{kind}" for name in theirs[which])
                yield f"encoder.layers.{i}.{ours}.{kind}", names


def to_ours(theirs, layers, family):
    """Our state dict, float32, from theirs.

    Hugging Face's row of token types is added to every position. Raises :class:`UserError` for a
    parameter that is missing or unknown, or a tie that is none.
    """
    left = {key: value for key, value in theirs.items() if not _IGNORED.fullmatch(key)}
    aliases = {key: left.pop(key) for key in _ALIASES if key in left}
    tables = dict(_TABLES)
    which = (HUGGING_FACE, FAIRSEQ).index(family)
    for alias, ours in _ALIASES.items():
        name = tables[ours][which]
        if alias in aliases and not torch.equal(left.setdefault(name, aliases[alias]),
                                                aliases[alias]):  # fmt: skip
            raise UserError(f"parameters {alias} and {name} differ, but must be one")
    types = left.pop(TOKEN_TYPES, None)
    state = {}
    for ours, names in entries(layers, family):
        parts = []
        for name in names:
            if name not in left:
                raise UserError(f"no parameter {name} in it; is this RoBERTa with its LM head?")
            parts.append(left.pop(name).float())
        state[ours] = torch.cat(parts) if len(parts) > 1 else parts[0]
    if left:
        raise UserError(
            f"parameter {min(left)} is none of RoBERTa's with {layers} layers; is this another "
            "model?"
        )
    if types is not None:
        state[POSITIONS] = state[POSITIONS] + types[0].float()
    return state


def to_hugging_face(state, layers):
    """Their state dict from ours; token types are a row of zeros, the token table is once there."""
    theirs = {}
    for ours, names in entries(layers, HUGGING_FACE):
        parts = state[ours].chunk(len(names))
        theirs.update((name, part.clone()) for name, part in zip(names, parts, strict=True))
    theirs[TOKEN_TYPES] = torch.zeros(1, state[TOKENS].size(1))
    return theirs


def modern_fairseq(theirs):
    """fairseq's names of today for a state dict of any of its versions."""
    named = {}
    for key, value in theirs.items():
        for old, new in _OLD_NAMES:
            key = old.sub(new, key)
        if match := _PACKED.fullmatch(key):
            start, kind = match.groups()
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                named[f"{start}{letter}_proj.{kind}"] = part
        else:
            named[key] = value
    return named


def layers_of(theirs):
    """How many layers a state dict of fairseq's names has."""
    found = re.compile(re.escape(_LAYERS_AT[1]) + r"\.(\d+)\.")
    return 1 + max((int(m[1]) for m in map(found.match, theirs) if m), default=-1)
