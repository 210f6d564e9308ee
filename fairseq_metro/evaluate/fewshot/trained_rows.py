"""The rows of a RoBERTa's token table that a few examples can change, trained as a small table.

A few-shot split has hundreds of different tokens, the table of RoBERTa-large 51 million numbers.
Rows without gradient stay where they are under Adam without weight decay, so that training the
others alone gives the same numbers, and the update of the table costs nothing worth naming.
"""

import contextlib
import copy

import numpy as np
import torch
from torch import nn

from fairseq_metro.models.roberta import RobertaMLMModel


def trained_rows(scorer, dataset):
    """:class:`TrainedRows` of a scorer for the rows of a PromptedExamples, or where its model is
    no RoBERTa a :class:`WholeTable`."""
    if isinstance(scorer.model, RobertaMLMModel):
        return TrainedRows(scorer, dataset)
    return WholeTable()


class WholeTable:
    """Nothing is put in the table's place."""

    def small(self, dataset):
        return dataset

    def whole(self):
        return contextlib.nullcontext()

    def put_back(self):
        pass


class TrainedRows:
    """Puts a small table in the place of a scorer's token table, until :meth:`put_back`."""

    def __init__(self, scorer, dataset):
        self.scorer, self.encoder = scorer, scorer.model.encoder
        self.table, self.words = self.encoder.embed_tokens, getattr(scorer, "words", None)
        pad = self.encoder.pad
        used = [np.arange(pad + 1)]  # so that padding keeps its number, which positions begin with
        used += [np.asarray(row) for row in dataset.rows]
        if self.words is not None:
            used.append(self.words.cpu().numpy())
        self.used = np.unique(np.concatenate(used))
        self.index = torch.from_numpy(self.used).to(self.table.weight.device)
        weight = self.table.weight.detach()[self.index]
        self.rows = nn.Embedding(*weight.shape, padding_idx=pad, _weight=weight)
        self._put_in()

    def small(self, dataset):
        """The data set in the small table's ids."""
        small = copy.copy(dataset)
        small.rows = [np.searchsorted(self.used, row).tolist() for row in dataset.rows]
        return small

    @contextlib.contextmanager
    def whole(self):
        """Inside, the scorer has its whole table, with the trained rows in it."""
        self.put_back()
        yield
        self._put_in()

    def put_back(self):
        """Write the trained rows into the whole table, and give it back to the scorer."""
        with torch.no_grad():
            self.table.weight[self.index] = self.rows.weight
        self.encoder.embed_tokens = self.table
        if self.words is not None:
            self.scorer.word_rows = self.words

    def _put_in(self):
        self.encoder.embed_tokens = self.rows
        if self.words is not None:
            self.scorer.word_rows = torch.searchsorted(self.index, self.words)
