"""Files as the authors' programs write them, of a very small model with every parameter non-zero."""

import json
from argparse import Namespace

import torch

from tests.interchange import reference_model

HEADS, DISTANCE, BUCKETS, WIDTH, INNER = 2, 11, 12, 8, 12
VOCABULARY = 26
POSITIONS = 20


def _attention(state, name):
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        state[f"{name}.{part}.weight"] = (WIDTH, WIDTH)
        state[f"{name}.{part}.bias"] = (WIDTH,)


def _norm(state, name):
    state[f"{name}.weight"] = state[f"{name}.bias"] = (WIDTH,)


def _stack(state, prefix, layers, decoder, positions):
    state[f"{prefix}.version"] = (1,)
    state[f"{prefix}.embed_positions.weight"] = (positions + 2, WIDTH)
    _norm(state, f"{prefix}.layernorm_embedding")
    for i in range(layers):
        layer = f"{prefix}.layers.{i}"
        _attention(state, f"{layer}.self_attn")
        _norm(state, f"{layer}.self_attn_layer_norm")
        if decoder:
            _attention(state, f"{layer}.encoder_attn")
            _norm(state, f"{layer}.encoder_attn_layer_norm")
        else:
            state[f"{layer}.self_attn_rel_pos.rel_attn_bias.weight"] = (BUCKETS, HEADS)
        state[f"{layer}.fc1.weight"], state[f"{layer}.fc1.bias"] = (INNER, WIDTH), (INNER,)
        state[f"{layer}.fc2.weight"], state[f"{layer}.fc2.bias"] = (WIDTH, INNER), (WIDTH,)
        _norm(state, f"{layer}.final_layer_norm")


def training_state(
    layers=3, generator=2, rtd_head="roberta", share="token", rows=VOCABULARY, positions=POSITIONS
):
    """A training state dict of theirs; generator: its layers, 0 for the main model alone."""
    shapes = {}
    _stack(shapes, "encoder", layers, False, positions)
    _stack(shapes, "decoder", layers, True, positions)
    if generator:
        _stack(shapes, "generator.sentence_encoder", generator, False, positions)
        shapes["generator.lm_head.bias"] = (rows,)
        shapes["generator.lm_head.dense.weight"] = (WIDTH, WIDTH)
        shapes["generator.lm_head.dense.bias"] = (WIDTH,)
        _norm(shapes, "generator.lm_head.layer_norm")
    if rtd_head:
        shapes["rtd_head.weight"], shapes["rtd_head.bias"] = (1, WIDTH), (1,)
    if rtd_head == "roberta":
        shapes["rtd_head.dense.weight"], shapes["rtd_head.dense.bias"] = (WIDTH, WIDTH), (WIDTH,)
        _norm(shapes, "rtd_head.layer_norm")
    random = torch.Generator().manual_seed(7)
    state = {key: torch.randn(shape, generator=random) for key, shape in shapes.items()}
    for key in state:
        if key.endswith(".version"):
            state[key] = torch.tensor([3.0])
        elif "norm" in key and key.endswith("weight"):
            state[key] = 1 + 0.3 * state[key]
        # Scales at which tokens stay different from each other up to the last layer, and no softmax
        # has one winner: otherwise queries hardly matter, and a wrong one goes unseen.
        elif any(part in key for part in ("v_proj.weight", "out_proj.weight", "fc1.w", "fc2.w")):
            state[key] *= 0.25
        elif key.endswith(("q_proj.weight", "k_proj.weight")):
            state[key] *= 0.5
        elif key.endswith(".bias") and key not in ("generator.lm_head.bias", "rtd_head.bias"):
            state[key] *= 0.3
    table = torch.randn(rows, WIDTH, generator=random)
    tied = ["encoder.embed_tokens", "decoder.embed_tokens", "decoder.output_projection"]
    if generator:
        tied += ["generator.sentence_encoder.embed_tokens", "generator.lm_head"]
    state.update({f"{name}.weight": table for name in tied})
    shared = {"token": [], "token_pos": ["embed_positions.weight"]}
    norm = ["layernorm_embedding.weight", "layernorm_embedding.bias"]
    shared["token_pos_norm"] = shared["token_pos"] + norm
    for name in shared[share] if generator else ():
        state[f"generator.sentence_encoder.{name}"] = state[f"encoder.{name}"]
    return state


def options(**changes):
    """What their program saves beside it; the depth of the encoder and the dropouts are wrong."""
    return Namespace(
        **{
            "arch": "t5_metro_base_rpe",
            "encoder_layers": 2,
            "dropout": 0.0,
            "encoder_attention_heads": HEADS,
            "encoder_rp_bins": BUCKETS,
            "encoder_rp_max_dist": DISTANCE,
            "generator_zero_dropout": True,
            "activation_fn": "relu",
            "no_scale_embedding": True,
            "encoder_normalize_before": False,
            **changes,
        }
    )


def write_checkpoint(path, state=None, form="cfg", **changes):
    """A checkpoint file; form: where the options stand ("cfg", "args", "nested", "none")."""
    said = options(**changes)
    content = {"args": None, "cfg": None, "model": state or training_state()}
    if form == "cfg":
        content["cfg"] = {"model": said, "task": {"tokens_per_sample": 5}}
    elif form == "nested":
        encoder = {"attention_heads": HEADS, "rp_max_dist": DISTANCE, "layers": 2}
        content["cfg"] = {"model": {"encoder": encoder, "activation_fn": "relu"}}
    elif form == "args":
        content["args"] = said
    content["optimizer_history"] = [{"num_updates": 17, "optimizer_name": "FairseqAdam"}]
    content["last_optimizer_state"] = {"state": {}}
    torch.save(content, path)
    return path


def hugging_face_state(state, dtype=torch.float32):
    """The release's names, spelled out one by one from both of the reference's tables."""
    ours, theirs = reference_model.TRAINING, reference_model.HUGGING_FACE
    named = {
        f"{theirs['tokens.encoder']}.weight": state["encoder.embed_tokens.weight"],
        "encoder.embed_tokens.weight": state["encoder.embed_tokens.weight"],
    }
    pairs = [("tokens.decoder", "", 0, ""), ("output", "", 0, "")]
    for stack in ("encoder", "decoder"):
        pairs += [("positions", stack, 0, ""), ("embedding_norm", stack, 0, "")]
        for i in range(9):
            pairs += [("self", stack, i, part) for part in "qkvo"]
            pairs += [("cross", stack, i, part) for part in "qkvo"]
            others = ("self_norm", "cross_norm", "relative", "inner", "outer", "final_norm")
            pairs += [(what, stack, i, "") for what in others]
    for what, stack, i, part in pairs:
        for end in ("weight", "bias"):
            ffn = 2 if stack == "decoder" else 1
            old = ours[what].format(stack=stack, i=i, part="out" if part == "o" else part, ffn=ffn)
            new = theirs[what].format(stack=stack, i=i, part=part, ffn=ffn)
            if f"{old}.{end}" in state:
                named[f"{new}.{end}"] = state[f"{old}.{end}"]
    return {key: value.to(dtype) for key, value in named.items()}


def write_release(folder, state=None, dtype=torch.float32, **changes):
    """A Hugging Face folder; ``changes`` of config.json (None: leave the field out)."""
    folder.mkdir(parents=True, exist_ok=True)
    state = state or training_state(generator=0, rtd_head="")
    config = {
        "vocab_size": len(state["encoder.embed_tokens.weight"]),
        "num_heads": HEADS,
        "relative_attention_num_buckets": BUCKETS,
        "relative_attention_max_distance": DISTANCE,
        "layer_norm_epsilon": 1e-5,
        "feed_forward_proj": "relu",
        "tie_word_embeddings": True,
        "decoder_start_token_id": 2,
        **changes,
    }
    config = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(hugging_face_state(state, dtype), folder / "pytorch_model.bin")
    return folder


def batch(rows=VOCABULARY, length=18):
    """src_tokens (3, T), previous (3, T): the second and third padded."""
    random = torch.Generator().manual_seed(3)
    tokens = torch.randint(4, rows, (3, length), generator=random)
    previous = torch.randint(4, rows, (3, length), generator=random)
    for row, real in ((1, length - 4), (2, 3)):
        tokens[row, real:] = previous[row, real:] = reference_model.PAD
    return tokens, previous
