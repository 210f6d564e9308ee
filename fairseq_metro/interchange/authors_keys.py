"""Which parameter of the authors' training state dict is which of ours: one table, both ways.

Their names are fairseq's (``encoder.layers.0.self_attn.q_proj.weight``). Ours differ in the packed
projections, in the relative-position tables, which stand beside the layers, and in the heads.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.modules.relative_position import relative_position_bucket

OFFSET = 2  # rows before the first of their position tables: unused, and the pad's
IGNORED = re.compile(r"(encoder|decoder|generator\.sentence_encoder)\.version")
THEIR_STACK = {
    "encoder": "encoder",
    "decoder": "decoder",
    "auxiliary": "generator.sentence_encoder",
}
TOKENS = "encoder.embed_tokens.weight"  # the shared table, under the same name in both
PARTS = ("q_proj", "k_proj", "v_proj")


@dataclass(frozen=True)
class Layout:
    """What a state dict holds: layers of each stack (0: no such stack), and which heads.

    relative: the names of the stacks that have relative-position tables. rtd_head: "", "simple" or
    "roberta". mlm_head: "" (none), "linear" or "transform"; theirs is always "transform".
    """

    encoder: int
    decoder: int
    auxiliary: int = 0
    relative: tuple = ()
    mlm_head: str = ""
    rtd_head: str = ""


class Entry(NamedTuple):
    """Parameters that correspond, and how: see :func:`_to_ours` for the forms."""

    ours: tuple
    theirs: tuple
    form: str = "same"


def _named(prefix, ours, theirs, names=("weight", "bias")):
    for name in names:
        yield Entry((f"{prefix[0]}{ours}.{name}",), (f"{prefix[1]}{theirs}.{name}",))


def _packed(prefix, ours, theirs, parts):
    for name in ("weight", "bias"):
        names = tuple(f"{prefix[1]}{theirs}.{part}.{name}" for part in parts)
        yield Entry((f"{prefix[0]}{ours}.{name}",), names, "packed")


def _stack(stack, layers, relative):
    """The parameters of one stack: "encoder", "decoder" or "auxiliary"."""
    theirs = THEIR_STACK[stack]
    positions = f"{stack}.embedding.positions.weight", f"{theirs}.embed_positions.weight"
    yield Entry(positions[:1], positions[1:], "positions")
    yield from _named((f"{stack}.", f"{theirs}."), "embedding.layer_norm", "layernorm_embedding")
    for i in range(layers):
        layer = f"{stack}.layers.{i}.", f"{theirs}.layers.{i}."
        yield from _packed(layer, "self_attn.qkv_proj", "self_attn", PARTS)
        yield from _named(layer, "self_attn.out_proj", "self_attn.out_proj")
        yield from _named(layer, "self_attn_layer_norm", "self_attn_layer_norm")
        if stack == "decoder":
            yield from _named(layer, "encoder_attn.q_proj", "encoder_attn.q_proj")
            yield from _packed(layer, "encoder_attn.kv_proj", "encoder_attn", PARTS[1:])
            yield from _named(layer, "encoder_attn.out_proj", "encoder_attn.out_proj")
            yield from _named(layer, "encoder_attn_layer_norm", "encoder_attn_layer_norm")
        yield from _named(layer, "ffn.fc1", "fc1")
        yield from _named(layer, "ffn.fc2", "fc2")
        yield from _named(layer, "final_layer_norm", "final_layer_norm")
        if relative:
            table = f"{theirs}.layers.{i}.self_attn_rel_pos.rel_attn_bias.weight"
            yield Entry((f"{stack}.relative_positions.{i}.weight",), (table,), "relative")


def entries(layout):
    """Every correspondence of a model with this :class:`Layout`."""
    tied = [f"{stack}.embed_tokens.weight" for stack in ("encoder", "decoder")]
    theirs = [*tied, "decoder.output_projection.weight"]
    if layout.auxiliary:
        tied.append("auxiliary.embed_tokens.weight")
        theirs.append("generator.sentence_encoder.embed_tokens.weight")
        theirs.append("generator.lm_head.weight")
    yield Entry(tuple(tied), tuple(theirs), "tied")
    for stack in ("encoder", "decoder", "auxiliary"):
        if layers := getattr(layout, stack):
            yield from _stack(stack, layers, stack in layout.relative)
    head = "", ""
    if layout.mlm_head == "transform":
        yield Entry(("mlm_head.bias",), ("generator.lm_head.bias",))
        yield from _named(head, "mlm_head.dense", "generator.lm_head.dense")
        yield from _named(head, "mlm_head.layer_norm", "generator.lm_head.layer_norm")
    if layout.rtd_head == "roberta":
        yield from _named(head, "rtd_head.dense", "rtd_head.dense")
        yield from _named(head, "rtd_head.layer_norm", "rtd_head.layer_norm")
    if layout.rtd_head:
        yield from _named(head, "rtd_head.out", "rtd_head")


def layout_of_theirs(state):
    """The :class:`Layout` of their training state dict, from its keys alone.

    Their saved configuration is no help: building the generator overwrites the number of encoder
    layers in it.
    """
    rtd_head = ""
    if "rtd_head.weight" in state:
        rtd_head = "roberta" if "rtd_head.dense.weight" in state else "simple"
    counts = {stack: _layers(state, prefix) for stack, prefix in THEIR_STACK.items()}
    relative = tuple(
        stack
        for stack, prefix in THEIR_STACK.items()
        if stack != "decoder"
        and f"{prefix}.layers.0.self_attn_rel_pos.rel_attn_bias.weight" in state
    )
    mlm_head = "transform" if counts["auxiliary"] else ""
    return Layout(**counts, relative=relative, mlm_head=mlm_head, rtd_head=rtd_head)


def layout_of_ours(state):
    """The :class:`Layout` of a state dict of ours, from its keys alone."""
    rtd_head = ""
    if "rtd_head.out.weight" in state:
        rtd_head = "roberta" if "rtd_head.dense.weight" in state else "simple"
    counts = {stack: _layers(state, stack) for stack in THEIR_STACK}
    mlm_head = "transform" if "mlm_head.layer_norm.weight" in state else "linear"
    return Layout(
        **counts,
        relative=tuple(s for s in counts if f"{s}.relative_positions.0.weight" in state),
        mlm_head=mlm_head if counts["auxiliary"] else "",
        rtd_head=rtd_head,
    )


def _layers(state, prefix):
    pattern = re.compile(rf"{re.escape(prefix)}\.layers\.(\d+)\.")
    return len({match[1] for key in state if (match := pattern.match(key))})


def bucket_shift(buckets, max_distance, positions):
    """Rows by which their relative tables lie lower than ours: 0 unless ``positions`` are few.

    Both number buckets from the smallest up. Theirs is the smallest that a distance below
    ``positions`` reaches, ours the smallest of all.

    >>> bucket_shift(32, 128, 1024), bucket_shift(32, 128, 20)
    (0, 4)
    """
    smallest = relative_position_bucket(1 - positions, buckets, max_distance)
    return int(smallest)


def to_ours(theirs, layout, shift=None, max_positions=None):
    """Our state dict from theirs. shift: rows by stack; max_positions: keep only so many.

    Raises :class:`UserError` that names a parameter that is missing, or one that we have no place
    for, or one of the shared tables that differs from the others.
    """
    left = {key: value for key, value in theirs.items() if not IGNORED.fullmatch(key)}
    ours = {}
    for entry in entries(layout):
        if entry.form == "tied":
            tensors = [left.pop(key) for key in entry.theirs if key in left]
            value = _only(entry.theirs, tensors, theirs)
        else:
            for key in entry.theirs:
                if key not in left:
                    raise UserError(f"parameter {key} is missing; is this the authors' METRO-T5?")
            tensors = [left.pop(key) for key in entry.theirs]
            rows = (shift or {}).get(entry.ours[0].split(".")[0], 0)
            value = _to_ours(entry.form, tensors, rows, max_positions)
        ours.update(dict.fromkeys(entry.ours, value))
    if left:
        raise UserError(
            f"parameter {min(left)} ({len(left)} such in all) has no place in our model; only the "
            "authors' METRO-T5 with a relative encoder can be imported"
        )
    return ours


def _to_ours(form, tensors, shift, max_positions):
    if form == "packed":
        return torch.cat(tensors)
    (tensor,) = tensors
    if form == "positions":
        return tensor[OFFSET:][:max_positions].clone()
    if form == "relative":
        return torch.roll(tensor, shift, 0)
    return tensor


def to_theirs(ours, layout, shift=None):
    """Their state dict from ours: the inverse of :func:`to_ours`.

    The two rows before the first position, which no real token reads, come out as zeros.
    """
    theirs = {}
    for entry in entries(layout):
        value = ours[entry.ours[0]]
        rows = (shift or {}).get(entry.ours[0].split(".")[0], 0)
        values = _to_theirs(entry, value, rows)
        theirs.update(zip(entry.theirs, values, strict=True))
    for stack, prefix in THEIR_STACK.items():
        if getattr(layout, stack):
            theirs[f"{prefix}.version"] = torch.tensor([3.0])
    return theirs


def _to_theirs(entry, value, shift):
    if entry.form == "tied":
        return [value] * len(entry.theirs)
    if entry.form == "packed":
        return [part.clone() for part in value.chunk(len(entry.theirs))]
    if entry.form == "positions":
        return [torch.cat([value.new_zeros(OFFSET, value.size(1)), value])]
    if entry.form == "relative":
        return [torch.roll(value, -shift, 0)]
    return [value]


def _only(names, tensors, theirs):
    if not tensors:
        raise UserError(f"parameter {names[0]} is missing; is this the authors' METRO-T5?")
    for name in names:
        if name in theirs and not torch.equal(theirs[name], tensors[0]):
            raise UserError(
                f"parameter {name} differs from {names[0]}, but our model has one token table; "
                "only a model with share_all_embeddings and a generator that shares it fits"
            )
    return tensors[0]
