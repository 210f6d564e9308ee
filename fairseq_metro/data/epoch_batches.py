"""The batches of an epoch, distributed over processes, and how a resumed run continues them.

The batches of an epoch are a list that depends only on (seed, epoch) and the options. Each of W
processes takes every W-th batch. A checkpoint stores how many batches of the list are done, and
which samples they held. A run that cuts the same list resumes it on any number of processes. A run
that cuts other batches (``--batch-size``, ``--max-tokens``, ``--seed``) makes a new list of the
remaining samples. Either way every sample of the epoch is used exactly once.
"""

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from fairseq.data.data_utils import numpy_seed
from fairseq.data.iterators import EpochBatchIterator

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.identity import identity

logger = logging.getLogger(__name__)


class BatchList:
    """The batches of an epoch, or of its remainder, in the order of distribution.

    batches: int arrays of samples. A seed of None keeps their order. group: so many batches in a
    row stay together (``--grouped-shuffling``). As fairseq shuffles, but no batch is left out.
    """

    def __init__(self, batches, seed=None, group=1):
        self.batches = list(batches)
        if seed is None:
            return
        whole = len(self.batches) // group * group
        groups = [self.batches[i : i + group] for i in range(0, whole, group)]
        rest = self.batches[whole:]
        if group == 1:
            groups = self.batches
        with numpy_seed(seed):
            np.random.shuffle(groups)
        if group > 1:
            self.batches = [batch for each in groups for batch in each] + rest

    def __len__(self):
        return len(self.batches)

    @cached_property
    def identity(self):
        sizes = np.array(list(map(len, self.batches)), dtype=np.int64)
        return identity(sizes, self.samples(len(self)))

    def samples(self, count):
        """The samples of the first ``count`` batches: int64 (n,)."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *self.batches[:count]])


@dataclass(frozen=True)
class Resumed:
    """What the checkpoint that a run resumes from says about its batches.

    path: of the checkpoint. changes: options of the task with another value now, in words. batching:
    arguments of ``batch_by_size`` then. seed: of the batches' order then. num_shards: processes then.
    """

    path: str
    changes: str
    batching: dict
    seed: int
    num_shards: int


class EpochBatches(EpochBatchIterator):
    """fairseq's epoch iterator, with a state that can be resumed with different batches.

    dataset: also has ``identity()``, a name of the samples of its present epoch. indices: these
    samples in their order, int64 (N,). batching: keyword arguments of ``dataset.batch_by_size``.
    update_freq: batches that a process takes for one update. resumed: the checkpoint's
    :class:`Resumed`, where there is one. options: those of fairseq's iterator.
    """

    def __init__(self, dataset, indices, batching, *, update_freq=1, resumed=None, **options):
        self.indices, self.batching = np.asarray(indices), batching
        self.update_freq, self.resumed = update_freq, resumed
        whole_epoch = tuple(dataset.batch_by_size(self.indices, **batching))
        super().__init__(dataset, dataset.collater, whole_epoch, **options)
        self._whole_epoch = whole_epoch
        self._begin_whole_epoch()

    def _begin_whole_epoch(self):
        self._frozen_batches = self._whole_epoch
        self.before = None  # bool (len(dataset),): the samples done before the list was made
        self.list = BatchList([])
        self.first = 0  # batches of the list that were done when this process began with it
        self.shown = 0  # iterations that the log counts as done at that time

    def next_epoch_itr(self, *args, **options):
        if self._next_epoch_itr is None:
            self._begin_whole_epoch()
        return super().next_epoch_itr(*args, **options)

    # Distribution

    def ordered_batches(self, epoch, fix_batches_to_gpus, shuffle):
        """This process's share of the list, from the first batch that is not done.

        A process for which the last deal has no batch gets an empty one. It comes first in its
        update: after an empty last batch fairseq discards the sample size of the whole update.
        """
        self.list = self._listed(self._frozen_batches, epoch, shuffle)
        left = self.list.batches[self.first :]
        share, deals = left[self.shard_id :: self.num_shards], -(-len(left) // self.num_shards)
        if len(share) < deals:
            share.insert((deals - 1) // self.update_freq * self.update_freq, [])
        return share

    def _listed(self, batches, epoch, shuffle, seed=None, num_shards=None):
        seed = self.seed if seed is None else seed
        group = (num_shards or self.num_shards) if self.grouped_shuffling else 1
        return BatchList(batches, seed + epoch if shuffle else None, group)

    def _get_iterator_for_epoch(self, epoch, shuffle, fix_batches_to_gpus=False, offset=0):
        iterator = super()._get_iterator_for_epoch(epoch, shuffle, fix_batches_to_gpus, offset)
        iterator.n += self.shown
        iterator.total += self.shown
        return iterator

    # The state

    def state_dict(self):
        """fairseq's state and, within an epoch, ``samples``: the part that is done.

        done, total: numbers of samples. bits: which are done, packed, uint8. identity: of the data
        set's samples. list: the identity of the list of batches; batches: how many of it are done;
        bits_before: the samples done before the list was made, or None.
        """
        state = super().state_dict()
        if state["iterations_in_epoch"] > 0:
            deals = self.iterations_in_epoch - self.shown
            batches = self.first + deals * self.num_shards
            state["samples"] = self._progress(self.list, batches, self.before)
        return state

    def _progress(self, batch_list, batches, before=None):
        """The state's ``samples`` after the first so many batches of a list."""
        done = np.zeros(len(self.dataset), dtype=bool) if before is None else before.copy()
        done[batch_list.samples(batches)] = True
        return {
            "done": int(done.sum()),
            "total": len(self.indices),
            "bits": torch.from_numpy(np.packbits(done)),
            "identity": self.dataset.identity(),
            "list": batch_list.identity,
            "batches": min(batches, len(batch_list)),
            "bits_before": None if before is None else torch.from_numpy(np.packbits(before)),
        }

    def _progress_of_fairseqs(self, state, shuffle):
        """The same for a state without it, of an earlier version, which counts iterations alone."""
        batches, seed, num_shards = self._whole_epoch, self.seed, self.num_shards
        if self.resumed is not None:
            if self.resumed.changes:
                raise self._other_samples()
            batches = self.dataset.batch_by_size(self.indices, **self.resumed.batching)
            seed, num_shards = self.resumed.seed, self.resumed.num_shards
        batch_list = self._listed(batches, state["epoch"], shuffle, seed, num_shards)
        return self._progress(batch_list, state["iterations_in_epoch"] * num_shards)

    def load_state_dict(self, state):
        """Go on after a state of this class or of fairseq's own. Raises :class:`UserError`."""
        if state.get("iterations_in_epoch", 0) == 0:
            super().load_state_dict(state)
            return
        self.epoch, shuffle = state["epoch"], state.get("shuffle", True)
        progress = state.get("samples") or self._progress_of_fairseqs(state, shuffle)
        if progress["identity"] != self.dataset.identity():
            raise self._other_samples()
        self._leave_out(progress["bits_before"])
        self.first = progress["batches"]
        if self._listed(self._frozen_batches, self.epoch, shuffle).identity != progress["list"]:
            self._leave_out(progress["bits"])
            self.first = 0
            logger.info(
                f"epoch {self.epoch}: {progress['done']:,} of {progress['total']:,} samples are "
                "done; the others are put into new batches"
            )
        self.shown = self._iterations_done()
        self._next_epoch_itr = self._get_iterator_for_epoch(self.epoch, shuffle)
        if (self._next_epoch_itr.total - self.shown) // self.update_freq == 0:
            self._refuse_short_rest()

    def _leave_out(self, bits):
        """Make batches of the samples whose bits are 0; of all where there are no bits."""
        if bits is None:
            self.before, self._frozen_batches = None, self._whole_epoch
            return
        self.before = np.unpackbits(bits.numpy(), count=len(self.dataset)).astype(bool)
        left = self.indices[~self.before[self.indices]]
        self._frozen_batches = tuple(self.dataset.batch_by_size(left, **self.batching))

    def _iterations_done(self):
        """How many iterations of the present kind the part of the epoch that is done amounts to.

        A multiple of ``update_freq``, as fairseq's grouping into updates needs.
        """
        before = 0 if self.before is None else int(self.before.sum())
        left = len(self.indices) - before
        batches = self.first + len(self._frozen_batches) * before // left
        deals = -(-batches // self.num_shards)
        return -(-deals // self.update_freq) * self.update_freq

    def _refuse_short_rest(self):
        if self.skip_remainder_batch:
            raise UserError(
                f"--skip-remainder-batch: what is left of epoch {self.epoch} is less than one update "
                "now takes, so nothing would be left; leave the option out until the epoch has ended"
            )

    def _other_samples(self):
        """The error if the samples of the epoch in progress have changed since the checkpoint."""
        path, changes = "the checkpoint", ""
        if self.resumed is not None:
            path, changes = self.resumed.path, self.resumed.changes
        return UserError(
            f"{path}: it was saved within epoch {self.epoch}, which has other samples now: "
            f"{changes or 'the data are others'}; undo that, or begin with epoch 1 of the new "
            "samples by --reset-dataloader"
        )
