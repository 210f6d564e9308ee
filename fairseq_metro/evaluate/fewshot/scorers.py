"""Models that give each label of a few-shot task a score: by its word, or by a new head."""

import torch
import torch.nn.functional as F
from torch import nn

from fairseq_metro.models.roberta import RobertaMLMModel
from fairseq_metro.smash.truncation import BUDGET, cut
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples


class WordScorer(nn.Module):
    """Logits of the label words at the mask; RoBERTa's head projects onto these words alone.

    words: their ids; word_rows: their rows in the token table, which fine-tuning makes smaller.
    """

    def __init__(self, model, words):
        super().__init__()
        self.model = model
        self.register_buffer("words", torch.tensor(words), persistent=False)
        self.register_buffer("word_rows", self.words, persistent=False)

    def forward(self, src_tokens, masked_index=None, **of_t5):
        """src_tokens (B, T), masked_index (B,) into B*T, or what T5 is given -> (B, L)."""
        model = self.model
        if not isinstance(model, RobertaMLMModel):
            logits, _ = model(src_tokens, **of_t5)
            return logits.index_select(-1, self.words)
        vector = model.mask_vector(src_tokens, masked_index)
        table = model.encoder.embed_tokens.weight.index_select(0, self.word_rows)
        return F.linear(vector, table, model.lm_head.bias.index_select(0, self.words))


class HeadScorer(nn.Module):
    """RoBERTa's classification head, new, on the first token's state: dense, tanh, output.

    A task of scores has two outputs, whose softmax is its point in the interval.
    """

    def __init__(self, model, labels, dropout):
        super().__init__()
        width = model.encoder.embed_tokens.embedding_dim
        self.model, self.dropout = model, nn.Dropout(dropout)
        self.dense, self.output = nn.Linear(width, width), nn.Linear(width, labels)
        for layer in (self.dense, self.output):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, src_tokens, masked_index):
        """src_tokens (B, T), masked_index (B,) of the first tokens -> (B, L)."""
        x = self.dropout(self.model.encode(src_tokens, rows=masked_index).last)
        return self.output(self.dropout(torch.tanh(self.dense(x))))


def head_examples(task, examples, tok):
    """Examples without a prompt, as RoBERTa reads them: ``<s> x0 </s>`` or
    ``<s> x0 </s> </s> x1 </s>``, cut to the task's length: PromptedExamples."""
    rows = []
    for example in examples:
        parts, fixed = [[tok.bos]], [True]
        for number, sentence in enumerate(example.sentences):
            parts += [[tok.eos]] * (number > 0) + [tok.encode(sentence), [tok.eos]]
            fixed += [True] * (number > 0) + [False, True]
        parts, _ = cut(parts, fixed, task.max_length, BUDGET)
        rows.append([token for part in parts for token in part])
    targets = [e.label if task.is_regression else task.labels.index(e.label) for e in examples]
    return PromptedExamples(rows, [0] * len(rows), targets, tok.pad)


def set_dropout(model, share):
    """Let every layer of a RoBERTa or T5 drop this share, attention too."""
    for module in model.modules():
        for name in ("dropout", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)
