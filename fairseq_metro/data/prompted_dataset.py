"""Samples of prompt fine-tuning: prompted pairs of a mixture, drawn anew for each epoch."""

import numpy as np
from fairseq.data import FairseqDataset

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.identity import identity, spread
from fairseq_metro.data.length_batches import length_batches
from fairseq_metro.data.packing import pack
from fairseq_metro.data.padding import PAD_TO_MULTIPLE, padded_width
from fairseq_metro.data.prompted_batches import collate


class PromptedDataset(FairseqDataset):
    """Examples of a :class:`~fairseq_metro.data.prompted_files.PromptedSplit`.

    A sample is a function of (split, draw, epoch, index) alone. draw: epoch, from 1 -> (tasks (N,),
    rows (N,)), ints, in the order of the tasks. name: the split's. source_prefix: ids before a
    source's tokens. Sources
    and targets are cut on the right, ``</s>`` stays. shuffle: a new order of (seed, epoch) each epoch
    (training). pack: an index is then a row of several examples, at most the two lengths long.
    choices: samples also carry their answer choices and the right one (validation).
    """

    def __init__(
        self,
        split,
        draw,
        *,
        name,
        source_prefix,
        pad,
        eos,
        decoder_start,
        max_source_length,
        max_target_length,
        seed,
        shuffle,
        pack=False,
        choices=False,
        pad_to_multiple=PAD_TO_MULTIPLE,
    ):
        super().__init__()
        self.split, self.draw, self.name = split, draw, name
        self.source_prefix = np.array(source_prefix, dtype=np.int64)
        self.pad, self.eos, self.decoder_start = pad, eos, decoder_start
        self.max_source_length, self.max_target_length = max_source_length, max_target_length
        self.seed, self.shuffle, self.pack, self.choices = seed, shuffle, pack, choices
        self.pad_to_multiple = pad_to_multiple
        self._choice_starts = {}  # of a task, where each line of its choices begins
        self.epoch = None
        self.set_epoch(1)

    # An epoch

    @property
    def can_reuse_epoch_itr_across_epochs(self):
        return not self.shuffle  # training draws other rows, of other lengths

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        if epoch == self.epoch:
            return
        self.epoch = epoch
        self.task, self.row = self.draw(epoch)
        prefix = len(self.source_prefix)
        self.source_starts, sizes = self._lines("source")
        self.source_sizes = np.minimum(sizes + prefix, self.max_source_length)
        self.target_starts, sizes = self._lines("target")
        self.target_sizes = np.minimum(sizes, self.max_target_length)
        order = np.arange(len(self.task))
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.task))
        if not self.pack:
            self.members, self.starts, self._order = None, None, order
            widths = self.source_sizes, self.target_sizes
        else:
            self.members, self.starts = pack(
                self.source_sizes, self.target_sizes, order,
                self.max_source_length, self.max_target_length,
            )  # fmt: skip
            self._order = np.arange(len(self.starts) - 1)
            widths = (
                np.add.reduceat(sizes[self.members], self.starts[:-1])
                for sizes in (self.source_sizes, self.target_sizes)
            )
        self.source_widths, self.target_widths = (
            padded_width(width, self.pad_to_multiple) for width in widths
        )

    def _lines(self, side):
        """Of the drawn rows' lines: int64 (N,) where each begins in its file, int32 (N,) sizes."""
        starts = np.empty(len(self.task), dtype=np.int64)
        sizes = np.empty(len(self.task), dtype=np.int32)
        bounds = np.searchsorted(self.task, np.arange(len(self.split.tasks) + 1))
        for task, begin, end in zip(self.split.tasks, bounds, bounds[1:], strict=False):
            if begin == end:
                continue
            rows, all_sizes = self.row[begin:end], np.asarray(getattr(task, side).sizes)
            ends = np.cumsum(all_sizes, dtype=np.int64)
            if all_sizes.min() < 1:
                raise UserError(
                    f"{getattr(task, side).prefix}: line {int(all_sizes.argmin())} is empty, even "
                    "without </s>; build the data again"
                )
            sizes[begin:end] = all_sizes[rows]
            starts[begin:end] = ends[rows] - sizes[begin:end]
        return starts, sizes

    def widest(self):
        """Tokens, both sides padded, of the longest index that any epoch may hold."""
        if self.pack:
            lengths = [(self.max_source_length, self.max_target_length)]
        else:
            prefix = len(self.source_prefix)
            lengths = [
                (
                    np.minimum(np.asarray(task.source.sizes) + prefix, self.max_source_length),
                    np.minimum(np.asarray(task.target.sizes), self.max_target_length),
                )
                for task in self.split.tasks
                if task.rows
            ]
        return max(
            int(np.max(sum(padded_width(side, self.pad_to_multiple) for side in pair)))
            for pair in lengths
        )

    def __len__(self):
        return len(self._order)

    def identity(self):
        """A name of the epoch's examples: which rows, where their lines begin, some of the tokens."""
        rows = [self.task, self.row, self.source_starts, self.target_starts]
        if self.pack:
            rows += [self.members, self.starts]
        first_tokens = [
            getattr(self.split.tasks[self.task[i]], side).tokens[starts[i]]
            for side, starts in (("source", self.source_starts), ("target", self.target_starts))
            for i in spread(len(self.task))
        ]
        return identity(*rows, np.array(first_tokens, dtype=np.int64))

    def ordered_indices(self):
        """Indices in the epoch's order: shuffled in training; batches sort them by length."""
        return self._order

    def num_tokens(self, index):
        return self.source_widths[index] + self.target_widths[index]

    num_tokens_vec = size = num_tokens

    def filter_indices_by_size(self, indices, max_sizes):
        """Examples are cut to the limits, so nothing is ever too long."""
        return indices, []

    def batch_by_size(
        self, indices, max_tokens=None, max_sentences=None, required_batch_size_multiple=1
    ):
        """Batches alike in both lengths; see :mod:`~fairseq_metro.data.length_batches`."""
        return length_batches(
            self.source_widths,
            self.target_widths,
            indices,
            max_tokens=max_tokens,
            max_sentences=max_sentences,
            batch_multiple=required_batch_size_multiple,
        )

    # A sample

    def source(self, example):
        """Of a drawn example: prefix, tokens and ``</s>``, cut; int64 (n,)."""
        begin, size = self.source_starts[example], self.source_sizes[example]
        tokens = np.empty(size, dtype=np.int64)
        prefix = len(self.source_prefix)
        tokens[:prefix] = self.source_prefix
        line = self.split.tasks[self.task[example]].source.tokens
        tokens[prefix:] = line[begin : begin + size - prefix]
        tokens[-1] = self.eos
        return tokens

    def target(self, example):
        """Of a drawn example: tokens and ``</s>``, cut; int64 (n,)."""
        begin, size = self.target_starts[example], self.target_sizes[example]
        line = self.split.tasks[self.task[example]].target.tokens
        return self._cut(line[begin : begin + size])

    def _cut(self, line):
        tokens = np.array(line[: self.max_target_length], dtype=np.int64)
        tokens[-1] = self.eos
        return tokens

    def answer_choices(self, example):
        """Of a drawn example: (choices as targets are, index of the right one); None without."""
        number, row = int(self.task[example]), self.row[example]
        task = self.split.tasks[number]
        if task.choices is None or task.gold[row, 1] < 0:
            return None
        if number not in self._choice_starts:
            sizes = np.asarray(task.choices.sizes)
            self._choice_starts[number] = np.append(0, np.cumsum(sizes, dtype=np.int64))
        first, last = task.first_choice[row : row + 2]
        starts = self._choice_starts[number][first : last + 1]
        lines = np.split(task.choices.tokens[starts[0] : starts[-1]], starts[1:-1] - starts[0])
        return list(map(self._cut, lines)), int(task.gold[row, 1])

    def __getitem__(self, index):
        """id; tasks, sources, targets: lists, one entry per example, of places, of arrays (n,).

        With ``choices`` also answer_choices, as :meth:`answer_choices` has them.
        """
        index = int(index)
        examples = [index]
        if self.pack:
            examples = self.members[self.starts[index] : self.starts[index + 1]].tolist()
        sample = {
            "id": index,
            "tasks": [int(self.task[example]) for example in examples],
            "sources": list(map(self.source, examples)),
            "targets": list(map(self.target, examples)),
        }
        if self.choices:
            sample["answer_choices"] = list(map(self.answer_choices, examples))
        return sample

    def collater(self, samples):
        """A batch of :func:`~fairseq_metro.data.prompted_batches.collate`, and the split's name."""
        if len(samples) == 0:
            return {}
        batch = collate(
            samples, self.pad, self.decoder_start, self.pad_to_multiple, packed=self.pack
        )
        return {**batch, "split": self.name}
