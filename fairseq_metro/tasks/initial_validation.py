"""Validation before the first update of a run, which fairseq does not provide."""

import json
import logging

import torch
from fairseq import utils
from fairseq.logging import metrics

from fairseq_metro.trainer import data_parallel

logger = logging.getLogger("start")


class InitialValidation:
    """Runs once, from the task's ``begin_epoch``, on all ranks; not again when a run is resumed.

    values: name -> number once it has run (a checkpoint keeps them), of the task's first split
    under the metric's own name, of further ones under ``<split>_<name>``; batching: the arguments
    of the training iterator, which tell batch sizes and this rank's share.
    """

    def __init__(self, task, enabled):
        self.task, self.enabled = task, enabled
        self.values, self.batching = {}, None

    def run_once(self, model):
        """Validate unless the model was updated before, and log one JSON line for each split."""
        splits = self.task.initially_validated()
        if not self.enabled or not splits or model.num_updates > 0 or self.values:
            return
        was_training = model.training
        model.eval()
        for split in splits:
            total = self._total_over_ranks(self.task.dataset(split), model)
            with metrics.aggregate(new_root=True) as aggregate:
                self.task.reduce_metrics([total], self.task.criterion)
            values = dict(aggregate.get_smoothed_values())
            if split != splits[0]:
                values = {f"{split}_{name}": value for name, value in values.items()}
            self.values.update(values)
            logger.info(json.dumps({f"start_{name}": value for name, value in values.items()}))
            self.task.after_initial_validation(split, aggregate)
        model.train(was_training)

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
