"""Resuming a run: options whose values have changed, and how its batches were cut."""

import logging

from fairseq.data.data_utils import numpy_seed
from omegaconf import OmegaConf

from fairseq_metro.data.epoch_batches import EpochBatches, Resumed
from fairseq_metro.interchange.checkpoint_settings import PATHS
from fairseq_metro.trainer import data_parallel
from fairseq_metro.trainer.workarounds import whole_config

logger = logging.getLogger(__name__)

# The options of fairseq's own sections that a model's parameters depend on, apart from the size of
# an update; the others are places, speed, processes, and how often to log, save and validate.
_OPTIONS = {
    "common": "seed fp16 bf16 amp memory_efficient_fp16 memory_efficient_bf16",
    "dataset": "train_subset required_batch_size_multiple curriculum grouped_shuffling",
    "optimization": "lr clip_norm sentence_avg skip_remainder_batch",
}
# All options of these, but for those that are names of files, and those with which the numbers stay
# the same; what must not change at all is refused elsewhere.
_SECTIONS = ("task", "model", "criterion", "optimizer", "lr_scheduler")
_EXCEPT = frozenset(PATHS).union(
    "_name no_save no_initial_validation max_update max_tokens max_tokens_valid update_freq cpu tpu "
    "ddp_backend fp16_no_flatten_grads checkpoint_activations".split()
)
# Of these the samples of an epoch, or their lengths, are made.
_SAMPLES = (
    "tokens_per_sample sample_break_mode recipe max_source_length max_target_length pack "
    "fewshot_task seed"
).split()


def changed_options(then, now):
    """Options with another value than in a checkpoint: list of (name, value now, value then).

    then, now: the configurations as plain dicts of sections. An option that only one of them knows
    has not changed: versions differ in that. Each name comes once.
    """
    changes = {}
    for section in (*_OPTIONS, *_SECTIONS):
        old, new = then.get(section) or {}, now.get(section) or {}
        names = _OPTIONS[section].split() if section in _OPTIONS else sorted(new)
        for name in names:
            if name in _EXCEPT or name not in old or name not in new or name in changes:
                continue
            if _value(old[name]) != _value(new[name]):
                changes[name] = (name, _value(new[name]), _value(old[name]))
    return list(changes.values())


def _value(value):
    """An option's value in the words of a command line.

    >>> _value([0.001]), _value(0.5), _value(None), _value("masked"), _value(1.0) == _value(1)
    ('0.001', '0.5', 'none', 'masked', True)
    """
    if isinstance(value, list | tuple):
        return " ".join(map(_value, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "none" if value is None else str(value)


def in_words(changes):
    """
    >>> in_words([("lr", "0.001", "0.0005"), ("adam_eps", "1e-08", "1e-06")])
    '--lr 0.001 (was 0.0005), --adam-eps 1e-08 (was 1e-06)'
    """
    return ", ".join(
        f"--{name.replace('_', '-')} {now} (was {then})" for name, now, then in changes
    )


def update_changes(then, now):
    """As :func:`changed_options`, for the options that make up an update; [] where its size stays.

    [], too, where ``now`` has no ``dataset`` section: a task that stands alone knows of no update.
    """
    if not now.get("dataset"):
        return []
    old, new = _update(then), _update(now)
    if _amounts(**old) == _amounts(**new):
        return []
    return [(name, _value(new[name]), _value(old[name])) for name in old if old[name] != new[name]]


def _update(config):
    dataset = config.get("dataset") or {}
    frequency = (config.get("optimization") or {}).get("update_freq") or [1]
    return {
        "batch_size": dataset.get("batch_size"),
        "max_tokens": dataset.get("max_tokens"),
        "update_freq": [frequency] if isinstance(frequency, int) else list(frequency),
        "distributed_world_size": processes(config),
    }


def _amounts(batch_size, max_tokens, update_freq, distributed_world_size):
    """Sequences and tokens of an update, of each epoch that has a frequency of its own."""
    batches = [frequency * distributed_world_size for frequency in update_freq]
    return [(batch_size and n * batch_size, max_tokens and n * max_tokens) for n in batches]


def processes(config):
    """How many processes share a run's data, by its configuration."""
    return (config.get("distributed_training") or {}).get("distributed_world_size") or 1


def resumed_from(facts, task_cfg, model_cfg, other_data):
    """What a run's iterator needs of the checkpoint it goes on from; warns of changed options.

    facts: :func:`~fairseq_metro.trainer.checkpoints.read_facts`'. task_cfg, model_cfg: the run's
    configurations. other_data: whether its data is known to be other than the checkpoint's.
    """
    then, now = facts["cfg"], {**whole_config(task_cfg), "task": plain(task_cfg)}
    now["model"] = plain(model_cfg)
    changes = changed_options(then, now)
    of_samples = [change for change in changes if change[0] in _SAMPLES]
    if data_parallel.rank() == 0:
        changes += update_changes(then, now)
        if changes:
            logger.warning(
                f"{facts['path']}: the run goes on with other options than before: "
                f"{in_words(changes)}"
            )
        if other_data:
            logger.warning(f"{facts['path']}: trained on other data than {task_cfg.data}")
    dataset = then.get("dataset") or {}
    seed = (then.get("common") or {}).get("seed", 1)
    if dataset.get("update_ordered_indices_seed"):
        seed += facts["epoch"]
    return Resumed(
        path=facts["path"],
        changes=", ".join(filter(None, (in_words(of_samples), "other data" if other_data else ""))),
        batching={
            "max_tokens": dataset.get("max_tokens"),
            "max_sentences": dataset.get("batch_size"),
            "required_batch_size_multiple": dataset.get("required_batch_size_multiple", 1),
        },
        seed=seed,
        num_shards=processes(then),
    )


def epoch_batches(task, dataset, *, epoch=1, seed=1, max_positions=None, resumed=None, **options):
    """The :class:`EpochBatches` of a task's dataset; options: the others of ``get_batch_iterator``."""
    names = ("max_tokens", "max_sentences", "required_batch_size_multiple")
    batching = {name: options.pop(name) for name in names if name in options}
    ignore = options.pop("ignore_invalid_inputs", False)
    dataset.set_epoch(epoch)
    with numpy_seed(seed + epoch):
        indices = dataset.ordered_indices()
    if max_positions is not None:
        indices = task.filter_indices_by_size(indices, dataset, max_positions, ignore)
    return EpochBatches(
        dataset,
        indices,
        batching,
        update_freq=update_frequency(task.cfg, epoch),
        resumed=resumed,
        epoch=epoch,
        seed=seed,
        buffer_size=options.pop("data_buffer_size", 0),
        reuse_dataloader=True,
        **options,
    )


def update_frequency(cfg, epoch):
    """Batches that a process takes for an update of an epoch, by a task's configuration."""
    frequencies = getattr(cfg, "update_freq", None)
    if not frequencies or isinstance(frequencies, str):
        return 1
    return frequencies[min(epoch, len(frequencies)) - 1]


def plain(config):
    """A configuration as a plain dict, as checkpoints have it."""
    if OmegaConf.is_config(config):
        return OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    return dict(vars(config))
