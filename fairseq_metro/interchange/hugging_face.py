"""The authors' Hugging Face release folders: names, ``config.json``, weights.

``config.json``, ``pytorch_model.bin`` or ``model.safetensors``, ``sp.model``, ``dict.txt``. They hold
the main model alone. No library of Hugging Face is needed, but ``safetensors`` for files of that
format. Their own converter leaves two fields out of ``config.json``:
``relative_attention_max_distance`` and ``max_positions``; ours writes both.
"""

import pickle
import re
from importlib.util import find_spec
from pathlib import Path

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, write_json
from fairseq_metro.common.whole_folder import whole_folder
from fairseq_metro.interchange.authors_keys import OFFSET
from fairseq_metro.models.checked_loading import refuse_not_finite
from fairseq_metro.trainer.checkpoints import DAMAGED, first_line, refused_globals

POSITIONS = 1024  # of their class, whatever config.json says
CONFIG, WEIGHTS, SAFE_WEIGHTS = "config.json", "pytorch_model.bin", "model.safetensors"
TOKENIZER_CONFIG = "tokenizer_config.json"

# Their training names -> their Hugging Face names; within a layer, then outside of layers.
_ATTENTION = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "o"}
_ENCODER = {
    **{f"self_attn.{a}": f"layer.0.SelfAttention.{b}" for a, b in _ATTENTION.items()},
    "self_attn_rel_pos.rel_attn_bias": "layer.0.SelfAttention.relative_attention_bias",
    "self_attn_layer_norm": "layer.0.layer_norm",
    "fc1": "layer.1.DenseReluDense.wi",
    "fc2": "layer.1.DenseReluDense.wo",
    "final_layer_norm": "layer.1.layer_norm",
}
_DECODER = {
    **{f"self_attn.{a}": f"layer.0.SelfAttention.{b}" for a, b in _ATTENTION.items()},
    "self_attn_layer_norm": "layer.0.layer_norm",
    **{f"encoder_attn.{a}": f"layer.1.EncDecAttention.{b}" for a, b in _ATTENTION.items()},
    "encoder_attn_layer_norm": "layer.1.layer_norm",
    "fc1": "layer.2.DenseReluDense.wi",
    "fc2": "layer.2.DenseReluDense.wo",
    "final_layer_norm": "layer.2.layer_norm",
}
_LAYER = {"encoder": _ENCODER, "decoder": _DECODER}
_OUTSIDE = {"embed_positions": "pos_embed", "layernorm_embedding": "first_layer_norm"}
_ALONE = {
    "encoder.embed_tokens.weight": ("shared.weight", "encoder.embed_tokens.weight"),
    "decoder.embed_tokens.weight": ("decoder.embed_tokens.weight",),
    "decoder.output_projection.weight": ("lm_head.weight",),
}
_IN_LAYER = re.compile(r"(encoder|decoder)\.(?:layers|block)\.(\d+)\.(.+)\.(weight|bias)")
_ON_TOP = re.compile(r"(encoder|decoder)\.(\w+)\.(weight|bias)")


def to_hugging_face(theirs):
    """Hugging Face's state dict of the main model, from their training state dict."""
    named = {}
    for key, value in theirs.items():
        if key.endswith(".version"):
            continue
        if key in _ALONE:
            named.update(dict.fromkeys(_ALONE[key], value))
        elif match := _IN_LAYER.fullmatch(key):
            stack, layer, part, name = match.groups()
            named[f"{stack}.block.{layer}.{_LAYER[stack][part]}.{name}"] = value
        else:
            stack, part, name = _ON_TOP.fullmatch(key).groups()
            named[f"{stack}.{_OUTSIDE[part]}.{name}"] = value
    return named


def from_hugging_face(named):
    """Their training state dict, from Hugging Face's. Raises :class:`UserError` for other names."""
    theirs, tables = {}, {}
    for key, value in named.items():
        if key.endswith("embed_tokens.weight") or key in ("shared.weight", "lm_head.weight"):
            tables[key] = value
            continue
        new = None
        if match := _IN_LAYER.fullmatch(key):
            stack, layer, part, name = match.groups()
            back = {theirs: ours for ours, theirs in _LAYER[stack].items()}
            new = part in back and f"{stack}.layers.{layer}.{back[part]}.{name}"
        elif match := _ON_TOP.fullmatch(key):
            stack, part, name = match.groups()
            back = {theirs: ours for ours, theirs in _OUTSIDE.items()}
            new = part in back and f"{stack}.{back[part]}.{name}"
        if not new:
            raise UserError(f"parameter {key} is none of the authors' Hugging Face model")
        theirs[new] = value
    for key, names in _ALONE.items():
        values = [tables.pop(name) for name in names if name in tables]
        if len(values) == 2 and not torch.equal(*values):
            raise UserError(f"parameters {names[0]} and {names[1]} differ, but must be one table")
        if values:
            theirs[key] = values[0]
    if tables:
        raise UserError(f"parameter {min(tables)} is none of the authors' Hugging Face model")
    return theirs


def is_release(folder):
    """Whether ``folder`` looks like one of Hugging Face's."""
    return (Path(folder) / CONFIG).is_file()


def read_release(folder):
    """Their training state dict (of whatever dtype) and the fields of ``config.json``."""
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG}: not a configuration; download the folder again")
    path, named = read_weights(folder)
    try:
        return from_hugging_face(named), config
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def read_weights(folder):
    """(path, name -> tensor) of a folder's weights: one file or several that an index lists.

    Weights-only loading. Raises :class:`UserError` where there are none, one cannot be read, or one
    is no number.
    """
    folder = Path(folder)
    for name, load in ((WEIGHTS, _load), (SAFE_WEIGHTS, _load_safetensors)):
        path, index = folder / name, folder / f"{name}.index.json"
        if path.is_file():
            return path, _finite(path, load(path))
        if index.is_file():
            return index, _finite(index, _load_listed(index, load))
    raise UserError(
        f"{folder}: neither {WEIGHTS} nor {SAFE_WEIGHTS} in it, nor an index of several files; "
        "download the folder again"
    )


def weights_name(out, safetensors=None):
    """The name of a weights file to be written in ``out``, for :func:`write_weights`.

    safetensors: whether as ``model.safetensors`` (None: if that package is installed) or as
    ``pytorch_model.bin``. Raises :class:`UserError` where it is wanted and not installed.
    """
    installed = find_spec("safetensors") is not None
    if safetensors and not installed:
        raise UserError(f"{out}: {SAFE_WEIGHTS} needs the package safetensors; install it, or "
                        "give --format bin")  # fmt: skip
    return SAFE_WEIGHTS if installed and safetensors is not False else WEIGHTS


def write_folder(write_files, model, out, safetensors=None):
    """Write a folder of theirs from a :class:`Model` by ``write_files(model, folder, safetensors)``.

    safetensors: as for :func:`weights_name`. Raises :class:`UserError`, and leaves nothing
    half-written.
    """
    weights_name(out, safetensors)
    with whole_folder(out) as partial:
        write_files(model, partial, safetensors)


def write_weights(named, path):
    """Write a state dict, name -> tensor, under a name of :func:`weights_name`."""
    if path.name == SAFE_WEIGHTS:
        from safetensors.torch import save_file

        path.touch()
        mode = path.stat().st_mode
        save_file(named, path, metadata={"format": "pt"})
        path.chmod(mode)  # safetensors lets the owner alone read it; this is what the umask says
    else:
        torch.save(named, path)


def _load_listed(index, load):
    listed = read_json(index)
    listed = listed.get("weight_map") if isinstance(listed, dict) else None
    if not isinstance(listed, dict) or not all(Path(name).name == name for name in listed.values()):
        raise UserError(f"{index}: not an index of weights; download the folder again")
    named = {}
    for name in sorted(set(listed.values())):
        if not (index.parent / name).is_file():
            raise UserError(f"{index.parent / name}: no such file, but {index.name} lists it")
        named.update(load(index.parent / name))
    if missing := sorted(set(listed) - set(named)):
        raise UserError(f"{index}: parameter {missing[0]} is in none of its files")
    return named


def _finite(path, named):
    refuse_not_finite(named, path)
    return named


def _load(path):
    try:
        named = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = refused_globals(path) or first_line(error)
        raise UserError(
            f"{path}: holds objects that are not loaded for safety's sake: {refused}"
        ) from None
    except DAMAGED as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from None
    if not (isinstance(named, dict) and all(torch.is_tensor(value) for value in named.values())):
        raise UserError(f"{path}: not a state dict; download the folder again")
    return named


def _load_safetensors(path):
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise UserError(
            f"{path}: needs the package safetensors; install it, or give {WEIGHTS}"
        ) from None
    try:
        return load_file(path)
    except Exception as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def write_release(folder, theirs, config, fp32=False):
    """Write ``config.json`` and ``pytorch_model.bin`` into an existing folder.

    theirs: training state dict of the main model, of at most ``POSITIONS`` positions; where it has
    fewer, rows of zeros follow, since their class loads a table of that size only. Weights are fp16 as
    in the authors' releases. Raises :class:`UserError` where a weight is too large for that.
    """
    named, converted = to_hugging_face(theirs), {}
    for key, value in named.items():
        if key.endswith(".pos_embed.weight"):
            missing = OFFSET + POSITIONS - value.size(0)
            named[key] = torch.cat([value, value.new_zeros(missing, value.size(1))])
    for key, value in named.items():
        if id(value) not in converted:  # one table under four names stays one in the file
            converted[id(value)] = value.float() if fp32 else value.half()
            if not torch.isfinite(converted[id(value)]).all():
                raise UserError(f"parameter {key} has values that fp16 cannot hold; give --fp32")
    named = {key: converted[id(value)] for key, value in named.items()}
    write_json(Path(folder) / CONFIG, config)
    torch.save(named, Path(folder) / WEIGHTS)
