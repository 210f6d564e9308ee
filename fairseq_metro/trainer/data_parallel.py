"""Rank and size of the data-parallel group; fairseq's own functions require a group."""

import torch.distributed as dist
from fairseq.distributed import utils


def rank():
    """Rank among the data-parallel processes; 0 where there is one."""
    return utils.get_data_parallel_rank() if _several() else 0


def world_size():
    """Number of data-parallel processes."""
    return utils.get_data_parallel_world_size() if _several() else 1


def summed(values, device):
    """A dict of numbers and tensors, summed over all processes."""
    if world_size() == 1:
        return values
    return dict(utils.all_reduce_dict(values, device, utils.get_data_parallel_group()))


def unwrapped(model):
    """The model inside fairseq's wrappers for data parallelism, of which there may be two."""
    while hasattr(model, "module"):
        model = model.module
    return model


def _several():
    return dist.is_available() and dist.is_initialized()
