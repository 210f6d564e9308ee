"""Work shared out among processes: each does a part, all get the whole.

Started by torchrun (eval/run.sh does where there are several GPUs), or alone. Only texts and scores
travel, over gloo; every process has the model on a device of its own.
"""

import os

from fairseq_metro.common.errors import UserError


def start():
    """Join the other processes where torchrun started several; returns this process's device name.

    None: the default (a GPU where there is one).
    """
    if world_size() == 1:
        return None
    import torch

    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    return f"cuda:{os.environ['LOCAL_RANK']}" if torch.cuda.is_available() else "cpu"


def stop():
    """Leave the other processes."""
    if world_size() > 1:
        _others().destroy_process_group()


def rank():
    """This process's number; 0 is the one that writes."""
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def world_size():
    """Number of processes, as torchrun says it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def from_first(make):
    """What ``make()`` gives in process 0, or its :class:`UserError`, in every process."""
    if world_size() == 1:
        return make()
    box = [None, None]
    if rank() == 0:
        try:
            box[0] = make()
        except UserError as error:  # alone in it, the others would wait for ever
            box[1] = str(error)
    _others().broadcast_object_list(box)
    if box[1] is not None:
        raise UserError(box[1])
    return box[0]


def shared_out(function, items, size):
    """``function(items)``, of which each process does a part of about equal size: list.

    function: list of n items -> list of n; size: of an item, by which they are dealt out in turn.
    """
    if world_size() == 1:
        return function(items)
    order = sorted(range(len(items)), key=lambda i: size(items[i]))
    own = order[rank() :: world_size()]
    parts = [None] * world_size()
    done = dict(zip(own, function([items[i] for i in own]), strict=True))
    _others().all_gather_object(parts, done)
    whole = {place: value for part in parts for place, value in part.items()}
    return [whole[place] for place in range(len(items))]


def _others():
    import torch.distributed

    return torch.distributed
