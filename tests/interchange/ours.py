"""Our model from a :class:`fairseq_metro.interchange.model.Model`, and what it computes."""

from types import SimpleNamespace

import torch
from fairseq.data import Dictionary

from fairseq_metro.models.metro_t5 import MetroT5Config, MetroT5Model, T5TransformerModel
from tests.interchange import authors, reference_model

KINDS = {"metro_t5": MetroT5Model, "t5_transformer": T5TransformerModel}


def build(model):
    """An empty model of ours with a Model's configuration."""
    words = Dictionary()
    for i in range(len(model.state["encoder.embed_tokens.weight"]) - len(words)):
        words.add_symbol(f"w{i}")
    task = SimpleNamespace(source_dictionary=words, target_dictionary=words)
    return KINDS[model.name].build_model(MetroT5Config(**model.config), task).eval()


def load(model):
    built = build(model)
    built.load_state_dict(model.state)
    return built


def keys_recorded(model, keys):
    """Hooks that append the keys of every attention of ``model`` to ``keys``."""
    hooks = []
    for name, module in model.named_modules():
        if name.endswith((".qkv_proj", ".kv_proj")):
            part = 1 if name.endswith(".qkv_proj") else 0
            of = 3 if part else 2
            hooks.append(
                module.register_forward_hook(
                    lambda m, i, out, part=part, of=of: keys.append(out.chunk(of, -1)[part])
                )
            )
    return hooks


def outputs(model, tokens, previous):
    """{"clm": logits at real targets, "mlm", "rtd": at real tokens, "keys": of all attentions}."""
    keys = []
    hooks = keys_recorded(model, keys)
    with torch.no_grad():
        encoded = model.encoder(tokens)
        found = {"clm": model.decoder(previous, encoded)[0][previous != reference_model.PAD]}
        real = tokens != reference_model.PAD
        if hasattr(model, "auxiliary"):
            h_aux = model.auxiliary(tokens)["encoder_out"][0]
            found["mlm"] = model.mlm_head(h_aux[real], model.encoder.embed_tokens.weight)
            found["rtd"] = model.rtd_head(encoded["encoder_out"][0])[real]
    for hook in hooks:
        hook.remove()
    found["keys"] = _gather(keys)
    return found


def expected(
    state, tokens, previous, names=reference_model.TRAINING, distance=authors.DISTANCE, reach=None
):
    """The same from the reference model over a state dict of the authors."""
    reference = reference_model.Reference(state, authors.HEADS, distance, names, reach)
    real = tokens != reference_model.PAD
    found = {"clm": reference.clm(tokens, previous)[previous != reference_model.PAD]}
    if "generator.lm_head.weight" in state:
        found["mlm"] = reference.mlm(tokens)[real]
        keys = reference.keys
        reference.keys = []
        found["rtd"] = reference.rtd(tokens)[real]
        reference.keys = keys  # the encoder's, once
    found["keys"] = _gather(reference.keys)
    return found


def _gather(keys):
    # At padding nothing has to agree; the batch's first row has none.
    return torch.cat([key[0].flatten() for key in keys])


def assert_same(ours, theirs, atol=1e-5):
    assert ours.keys() == theirs.keys()
    for name in theirs:
        scale = max(1.0, float(theirs[name].abs().max()))
        torch.testing.assert_close(ours[name] / scale, theirs[name] / scale, rtol=0, atol=atol)


def same(ours, theirs, atol=1e-4):
    return all((ours[name] - theirs[name]).abs().max() <= atol for name in theirs)
