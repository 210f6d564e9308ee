"""Validation before the first update of a run, which fairseq has none of its own."""

import json
import logging

import torch
from fairseq import utils
from fairseq.logging import metrics

from fairseq_metro import data_parallel

logger = logging.getLogger("start")


class InitialValidation:
    """Runs once, from the task's ``begin_epoch``, on all ranks; not again when a run is resumed.

    values: name -> number once it has run (a checkpoint keeps them); batching: the arguments of
    the training iterator, which tell batch sizes and this rank's share.
    """

    def __init__(self, task, enabled):
        self.task, self.enabled = task, enabled
        self.values, self.batching = {}, None

    def run_once(self, model):
        """Validate unless the model was updated before, and log one JSON line."""
        split = next((name for name in self.task.datasets if name.startswith("valid")), None)
        if not self.enabled or split is None or model.num_updates > 0 or self.values:
            return
        was_training = model.training
        model.eval()
        total = self._total_over_ranks(self.task.dataset(split), model)
        model.train(was_training)
        with metrics.aggregate(new_root=True) as aggregate:
            self.task.reduce_metrics([total], self.task.criterion)
        self.values = dict(aggregate.get_smoothed_values())
        logger.info(json.dumps({f"start_{name}": value for name, value in self.values.items()}))

    def _total_over_ranks(self, dataset, model):
        """The sum of all logging outputs of the split, over batches and ranks."""
        kept = ("max_tokens", "max_sentences", "required_batch_size_multiple", "seed")
        sharding = ("num_shards", "shard_id", "num_workers")
        options = {name: self.batching[name] for name in kept + sharding if name in self.batching}
        batches = self.task.get_batch_iterator(dataset, disable_iterator_cache=True, **options)
        total = None
        for sample in batches.next_epoch_itr(shuffle=False, set_dataset_epoch=False):
            if sample:  # ranks beyond the last batch get an empty one
                total = _add(total, self._logging_output(sample, model))
        if total is None:
            # A rank without a batch still takes part in the reduction, with zeros.
            output = self._logging_output(dataset.collater([dataset[0]]), model)
            total = {name: value * 0 for name, value in output.items()}
        return data_parallel.summed(total, next(model.parameters()).device)

    def _logging_output(self, sample, model):
        device = next(model.parameters()).device
        if device.type == "cuda":
            sample = utils.move_to_cuda(sample, device=device)
        with torch.no_grad():
            return self.task.valid_step(sample, model, self.task.criterion)[2]


def _add(total, output):
    if total is None:
        return dict(output)
    return {name: total[name] + output[name] for name in total}
