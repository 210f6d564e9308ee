"""Refuse modes of fairseq's trainer that cannot work, before anything is built."""

import torch
import torch.distributed as dist
from omegaconf import OmegaConf

from fairseq_metro.common.errors import UserError
from fairseq_metro.trainer.workarounds import has_xla

CPU_BACKENDS = ("legacy_ddp", "no_c10d")  # two names of one


def check_trainer_modes(cfg):
    """Raise :class:`UserError` for a precision or backend that the trainer would fall over.

    cfg: the task's config; a mode counts only if it is ``True`` there (a program that makes a
    task's config by itself leaves the interpolations into the trainer's config as they are).
    """
    on = {name: getattr(cfg, name, None) is True for name in MODES}
    on_cpu = on["cpu"] or not torch.cuda.is_available()
    if on["tpu"] and not has_xla():
        raise UserError(
            "--tpu, but torch_xla is not installed; leave it out (--bf16 needs no TPU here)"
        )
    chosen = [f"--{mode}" for mode in ("fp16", "bf16", "amp") if on[mode]]
    if len(chosen) > 1:
        raise UserError(f"{' and '.join(chosen)}: give one of them")
    for mode in ("fp16", "bf16"):
        if on[f"memory_efficient_{mode}"] and not on[mode]:
            raise UserError(
                f"common.memory_efficient_{mode} does nothing by itself under fairseq-hydra-train; "
                f"set common.{mode} as well"
            )
    flat = not (on["memory_efficient_fp16"] or on["fp16_no_flatten_grads"])
    if on["fp16"] and on_cpu and flat:
        raise UserError(
            "--fp16 on a CPU: fairseq keeps its flat float32 parameters on a GPU; add "
            "--fp16-no-flatten-grads, or give --memory-efficient-fp16 or --bf16 instead"
        )
    check_backend(str(getattr(cfg, "ddp_backend", "")), on_cpu)
    frequencies = getattr(cfg, "update_freq", None)
    if OmegaConf.is_list(frequencies) or isinstance(frequencies, list):
        wrong = [value for value in frequencies if not str(value).isdecimal() or int(value) < 1]
        if wrong or not len(frequencies):
            raise UserError(
                f"--update-freq is {list(frequencies)}, must be whole numbers from 1 up"
            )


def check_backend(backend, on_cpu):
    """Raise :class:`UserError` where several processes on CPUs have a backend for GPUs."""
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if several and on_cpu and backend not in CPU_BACKENDS:
        raise UserError(
            f"--ddp-backend {backend} with {dist.get_world_size()} processes on a CPU: fairseq "
            "runs it on GPUs only; give --ddp-backend legacy_ddp"
        )


MODES = (
    "cpu tpu fp16 bf16 amp memory_efficient_fp16 memory_efficient_bf16 fp16_no_flatten_grads"
).split()
