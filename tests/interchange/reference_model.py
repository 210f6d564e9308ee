"""The authors' METRO-T5 as plain functions over a state dict: slow, and sharing no code with ours.

Written from the facts about their released code alone: names of parameters, post-LayerNorm layers,
learned positions, relative tables with signed logarithmic buckets, generator and heads. Two sets of
names: the training checkpoint's and the Hugging Face release's.
"""

import math

import torch
import torch.nn.functional as F

PAD = 1

TRAINING = {
    "tokens.encoder": "encoder.embed_tokens",
    "tokens.decoder": "decoder.embed_tokens",
    "tokens.generator": "generator.sentence_encoder.embed_tokens",
    "output": "decoder.output_projection",
    "positions": "{stack}.embed_positions",
    "embedding_norm": "{stack}.layernorm_embedding",
    "self": "{stack}.layers.{i}.self_attn.{part}_proj",
    "self_norm": "{stack}.layers.{i}.self_attn_layer_norm",
    "cross": "{stack}.layers.{i}.encoder_attn.{part}_proj",
    "cross_norm": "{stack}.layers.{i}.encoder_attn_layer_norm",
    "relative": "{stack}.layers.{i}.self_attn_rel_pos.rel_attn_bias",
    "inner": "{stack}.layers.{i}.fc1",
    "outer": "{stack}.layers.{i}.fc2",
    "final_norm": "{stack}.layers.{i}.final_layer_norm",
    "out": "out",
    "generator": "generator.sentence_encoder",
}

HUGGING_FACE = {
    "tokens.encoder": "shared",
    "tokens.decoder": "decoder.embed_tokens",
    "output": "lm_head",
    "positions": "{stack}.pos_embed",
    "embedding_norm": "{stack}.first_layer_norm",
    "self": "{stack}.block.{i}.layer.0.SelfAttention.{part}",
    "self_norm": "{stack}.block.{i}.layer.0.layer_norm",
    "cross": "{stack}.block.{i}.layer.1.EncDecAttention.{part}",
    "cross_norm": "{stack}.block.{i}.layer.1.layer_norm",
    "relative": "{stack}.block.{i}.layer.0.SelfAttention.relative_attention_bias",
    "inner": "{stack}.block.{i}.layer.{ffn}.DenseReluDense.wi",
    "outer": "{stack}.block.{i}.layer.{ffn}.DenseReluDense.wo",
    "final_norm": "{stack}.block.{i}.layer.{ffn}.layer_norm",
    "out": "o",
}


def bucket(distance, bins, max_distance):
    """Signed bucket of key minus query, before the offset."""
    n = abs(distance)
    half = bins // 2
    exact = half // 2
    if n < exact:
        b = n
    else:
        share = math.log(n / exact) / math.log((max_distance - 1) / exact)
        b = min(half - 1, exact + math.ceil(share * (half - 1 - exact)))
    return b if distance >= 0 else -b


class Reference:
    """heads, max_distance: of every stack; names: TRAINING or HUGGING_FACE. reach: positions for which
    the relative buckets are numbered, ``max_positions`` of their Hugging Face class (None: all).

    ``keys`` collects every attention's keys, for what logits cannot show: a bias of the keys adds
    the same number to all scores of a query.
    """

    def __init__(self, state, heads, max_distance, names=TRAINING, reach=None):
        self.state, self.heads, self.max_distance, self.names = state, heads, max_distance, names
        self.reach = reach
        self.keys = []

    def layers(self, stack):
        i = 0
        while self.name("self", stack, i, "q") + ".weight" in self.state:
            i += 1
        return i

    def name(self, what, stack="", i=0, part=""):
        ffn = 2 if stack == "decoder" else 1
        part = self.names["out"] if part == "o" else part
        return self.names[what].format(stack=stack, i=i, part=part, ffn=ffn)

    def linear(self, x, name):
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, x, name):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    def embed(self, tokens, stack, table):
        positions = self.state[self.name("positions", stack) + ".weight"]
        rows = []
        for line in tokens.tolist():
            seen, row = 0, []
            for token in line:
                seen += token != PAD
                row.append(PAD if token == PAD else seen + PAD)
            rows.append(row)
        x = self.state[f"{table}.weight"][tokens] + positions[torch.tensor(rows)]
        return self.norm(x, self.name("embedding_norm", stack))

    def relative_bias(self, stack, i, length):
        table = self.state[self.name("relative", stack, i) + ".weight"]
        longest = self.reach or len(self.state[self.name("positions", stack) + ".weight"]) - 2
        everything = range(1 - longest, longest)
        least = min(bucket(d, len(table), self.max_distance) for d in everything)
        bias = torch.empty(self.heads, length, length)
        for query in range(length):
            for key in range(length):
                row = bucket(key - query, len(table), self.max_distance) - least
                bias[:, query, key] = table[row]
        return bias

    def attend(self, x, source, what, stack, i, pads=None, causal=False, bias=None):
        q, k, v = (
            self.linear(y, self.name(what, stack, i, part))
            for y, part in ((x, "q"), (source, "k"), (source, "v"))
        )
        self.keys.append(k)
        width = q.size(-1) // self.heads
        mixed = torch.empty_like(q)
        for h in range(self.heads):
            part = slice(h * width, (h + 1) * width)
            scores = q[..., part] * width**-0.5 @ k[..., part].transpose(1, 2)
            if bias is not None:
                scores = scores + bias[h]
            if causal:
                later = torch.ones(scores.shape[1:]).triu(1).bool()
                scores = scores.masked_fill(later, -math.inf)
            if pads is not None:
                scores = scores.masked_fill(pads[:, None, :], -math.inf)
            mixed[..., part] = scores.softmax(-1) @ v[..., part]
        return self.linear(mixed, self.name(what, stack, i, "o"))

    def feed_forward(self, x, stack, i):
        inner = self.linear(x, self.name("inner", stack, i)).clamp(min=0)
        update = self.linear(inner, self.name("outer", stack, i))
        return self.norm(x + update, self.name("final_norm", stack, i))

    def encode(self, tokens, stack="encoder", table="tokens.encoder"):
        x, pads = self.embed(tokens, stack, self.names[table]), tokens == PAD
        for i in range(self.layers(stack)):
            bias = self.relative_bias(stack, i, tokens.size(1))
            x = self.norm(
                x + self.attend(x, x, "self", stack, i, pads, bias=bias),
                self.name("self_norm", stack, i),
            )
            x = self.feed_forward(x, stack, i)
        return x

    def clm(self, tokens, previous):
        """(B, S, V): logits of the decoder after the encoder has read ``tokens``."""
        states, pads = self.encode(tokens), tokens == PAD
        x = self.embed(previous, "decoder", self.names["tokens.decoder"])
        for i in range(self.layers("decoder")):
            update = self.attend(x, x, "self", "decoder", i, causal=True)
            x = self.norm(x + update, self.name("self_norm", "decoder", i))
            update = self.attend(x, states, "cross", "decoder", i, pads)
            x = self.norm(x + update, self.name("cross_norm", "decoder", i))
            x = self.feed_forward(x, "decoder", i)
        return x @ self.state[self.names["output"] + ".weight"].T

    def mlm(self, tokens):
        """(B, T, V): logits of the generator."""
        x = self.encode(tokens, self.names["generator"], "tokens.generator")
        x = self.linear(x, "generator.lm_head.dense").clamp(min=0)
        x = self.norm(x, "generator.lm_head.layer_norm")
        return self.linear(x, "generator.lm_head")

    def rtd(self, tokens):
        """(B, T): logits of "replaced"."""
        x = self.encode(tokens)
        if "rtd_head.dense.weight" in self.state:
            x = F.relu(self.linear(x, "rtd_head.dense"))
            x = self.norm(x, "rtd_head.layer_norm")
        return self.linear(x, "rtd_head")[..., 0]
