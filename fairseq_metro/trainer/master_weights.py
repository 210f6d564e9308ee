"""``--fp16`` and ``--bf16`` resume exactly: a checkpoint holds the float32 weights of the optimizer.

Stock fairseq trains a half-precision model beside float32 copies of its parameters, the masters,
but saves the model's halves (widened to float32) and builds the masters anew from them: at every
restart each weight loses its low bits, which hold most of what small learning rates have done.
Here the masters take the halves' place in the checkpoint, which is no larger, and come back from
it. Modes without masters (float32, ``--amp``, ``--memory-efficient-*``) are left alone.
"""

import torch

from fairseq_metro.trainer import data_parallel


class MasterWeights:
    """Connects a task's model with the optimizer's master weights when saving and loading."""

    def __init__(self):
        self.optimizer = self.hook = None

    def follow(self, model, optimizer):
        """Attach to a new optimizer, if there is one. To be called before each update.

        model: fairseq's, wrapped for data parallelism or not; what ``load_state_dict`` was given
        waits in its ``loaded_weights``. optimizer: fairseq's.
        """
        if optimizer is self.optimizer:
            return
        self.optimizer = optimizer
        model = data_parallel.unwrapped(model)
        masters = masters_of(optimizer)
        loaded, model.loaded_weights = getattr(model, "loaded_weights", None), None
        if self.hook is not None:
            self.hook.remove()
            self.hook = None
        if not masters:
            return
        if loaded is not None:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if id(parameter) in masters and name in loaded:
                        masters[id(parameter)].copy_(loaded[name])

        def write_masters(module, state, prefix, _):
            if module is not model:
                return  # a copy of the model, as fairseq's moving average is, has its hooks as well
            for name, parameter in module.named_parameters(remove_duplicate=False):
                if id(parameter) in masters:
                    state[prefix + name] = masters[id(parameter)].detach()

        self.hook = model._register_state_dict_hook(write_masters)


def masters_of(optimizer):
    """id of a half-precision parameter -> its float32 master, a tensor of the same shape.

    fairseq keeps them as a list, or flat in one tensor per device; empty where there are none.
    """
    halves = getattr(optimizer, "fp16_params", None)
    masters = getattr(optimizer, "fp32_params", None)
    if halves is None or masters is None:
        return {}
    if not isinstance(masters, dict):
        return {id(half): master for half, master in zip(halves, masters, strict=True)}
    copies, offsets = {}, dict.fromkeys(masters, 0)
    for half in halves:
        device = half.device.index
        begin = offsets[device]
        offsets[device] = begin + half.numel()
        copies[id(half)] = masters[device].data[begin : offsets[device]].view_as(half)
    return copies
