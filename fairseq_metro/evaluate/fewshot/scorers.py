"""Models that give each label of a few-shot task a score: by its word, or by a new head."""

import torch
import torch.nn.functional as F
from torch import nn

from fairseq_metro.evaluate.fewshot.cells import LMBFF, PAPER
from fairseq_metro.models.roberta import RobertaMLMModel
from fairseq_metro.smash.truncation import BUDGET, cut
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples, characters_of


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
    """RoBERTa with a new classification head on the first token's state.

    form: PAPER, the matrix W_o alone (SMASH, section 3.1), or LMBFF, RoBERTa's own head, which LM-BFF
    fine-tunes: dropout, dense, tanh, dropout, output. A task of scores has two outputs, whose softmax
    is its point in the interval.
    """

    def __init__(self, model, labels, dropout, form=PAPER):
        super().__init__()
        width = model.encoder.embed_tokens.embedding_dim
        self.model = model
        if form == PAPER:
            self.head = nn.Sequential(nn.Linear(width, labels, bias=False))
        else:
            self.head = nn.Sequential(
                nn.Dropout(dropout), nn.Linear(width, width), nn.Tanh(),
                nn.Dropout(dropout), nn.Linear(width, labels),
            )  # fmt: skip
        for layer in self.head:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, src_tokens, masked_index):
        """src_tokens (B, T), masked_index (B,) of the first tokens -> (B, L)."""
        return self.head(self.model.encode(src_tokens, rows=masked_index).last)


def head_examples(task, examples, tok, form=PAPER):
    """Examples without a prompt, cut to the task's length: PromptedExamples.

    ``<s> x0 </s>``, and for pairs ``<s> x0 </s> x1 </s>`` (SMASH, section 3.1; form PAPER) or, as
    RoBERTa was trained, ``<s> x0 </s> </s> x1 </s>`` (LMBFF).
    """
    rows = []
    for example in examples:
        parts, fixed = [[tok.bos]], [True]
        for number, sentence in enumerate(example.sentences):
            doubled = number > 0 and form == LMBFF
            parts += [[tok.eos]] * doubled + [tok.encode(sentence), [tok.eos]]
            fixed += [True] * doubled + [False, True]
        parts, _ = cut(parts, fixed, task.max_length, BUDGET)
        rows.append([token for part in parts for token in part])
    targets = [e.label if task.is_regression else task.labels.index(e.label) for e in examples]
    dataset = PromptedExamples(rows, [0] * len(rows), targets, tok.pad)
    dataset.characters = characters_of(examples, tok)
    return dataset


def set_dropout(model, share):
    """Let every layer of a RoBERTa or T5 drop this share, attention too."""
    for module in model.modules():
        for name in ("dropout", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)
