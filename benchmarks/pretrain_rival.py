"""The rival of ``benchmarks/pretrain_throughput.py``: METRO-T5 over Hugging Face's T5 stacks."""

import transformers
from torch import nn
from transformers.models.t5.modeling_t5 import T5Stack

from fairseq_metro.kernels.head_loss import Draw
from fairseq_metro.models.metro_t5.model import MetroOutput
from fairseq_metro.modules.heads import Logits, RTDHead, select_rows

PAD = 1


class HuggingFaceMetro(nn.Module):
    """METRO-T5 over transformers' T5 stacks: what our own model's ``forward`` does, with its heads."""

    def __init__(self, cfg, vocabulary, all_positions):
        super().__init__()
        self.table, self.all_positions = nn.Embedding(vocabulary, cfg.embed_dim, PAD), all_positions
        layers = dict(
            auxiliary=cfg.auxiliary_layers, encoder=cfg.encoder_layers, decoder=cfg.decoder_layers
        )
        for name, count in layers.items():
            config = transformers.T5Config(
                vocab_size=vocabulary,
                d_model=cfg.embed_dim,
                d_kv=cfg.embed_dim // cfg.attention_heads,
                d_ff=cfg.ffn_dim,
                num_layers=count,
                num_heads=cfg.attention_heads,
                relative_attention_num_buckets=cfg.relative_position_buckets,
                dropout_rate=cfg.dropout,
                use_cache=False,
            )
            config.is_decoder = name == "decoder"
            stack = T5Stack(config)
            stack.set_input_embeddings(self.table)
            setattr(self, name, stack)
        self.rtd_head = RTDHead(cfg.embed_dim)

    def logits(self, rows):
        return rows @ self.table.weight.t()

    def forward(
        self, src_tokens, prev_output_tokens, masked_index, uniform, masked_target=None, **unused
    ):
        states = self.auxiliary(src_tokens).last_hidden_state
        auxiliary = Logits(self.logits(select_rows(states, masked_index)))
        mlm = auxiliary.loss(masked_target, draw=Draw(uniform, src_tokens, masked_index))
        h_enc = self.encoder(mlm.noised).last_hidden_state
        h_dec = self.decoder(prev_output_tokens, encoder_hidden_states=h_enc).last_hidden_state
        if self.all_positions:
            clm_logits = select_rows(self.logits(h_dec), masked_index)
        else:
            clm_logits = self.logits(select_rows(h_dec, masked_index))
        return MetroOutput(mlm, self.rtd_head(h_enc), Logits(clm_logits), auxiliary)
