"""``--optimizer fused_adam``: fairseq's Adam update, done by torch's fused AdamW kernel.

The kernel and fairseq's Adam differ in one place. With m and v the running averages after step t,

    fairseq:  p -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps)
    kernel:   p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps')

which agree for eps' = eps / sqrt(1 - beta2^t). Both decay p by lr * weight_decay * p beforehand.
"""

import ast
import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II

from fairseq_metro.common.errors import UserError

DEVICES = ("cpu", "cuda")  # where torch has the kernel and this module is tested


class FusedAdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay; numbers and state dict are those of fairseq's ``Adam``.

    Calls the kernel behind ``torch.optim.AdamW(fused=True)`` rather than that class: the class
    keeps one step tensor per parameter, which fairseq's Adam cannot read, which a host must wait
    for to learn, and whose upkeep costs more than the update of a small model (0.5 against 0.07 ms
    for 200 parameters of 16x16, one CPU thread, torch 2.13). Here ``state["step"]`` is an int.

    Parameters in half precision, or not contiguous, are updated through a (float32) contiguous
    copy; their averages are float32. A parameter without a gradient is left alone, its step too.
    """

    supports_memory_efficient_fp16 = True
    supports_flat_params = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        # fairseq's Adam reads "amsgrad" from a loaded group; it is kept so that ours look the same.
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=False)
        super().__init__(params, defaults)
        for param in (p for group in self.param_groups for p in group["params"]):
            if param.device.type not in DEVICES or not param.is_floating_point():
                raise UserError(
                    f"fused_adam: a parameter is {param.dtype} on {param.device.type}, must be "
                    f"floating point on {' or '.join(DEVICES)}; use --optimizer adam"
                )

    def load_state_dict(self, state_dict):
        """Load what this class, fairseq's ``Adam`` (apex's too) or ``torch.optim.AdamW`` saved."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            if group.get("amsgrad", False):
                raise UserError(
                    "fused_adam: the checkpoint's optimizer used amsgrad, which is not offered; "
                    "go on with that optimizer or give --reset-optimizer"
                )
            for state in (self.state[p] for p in group["params"] if p in self.state):
                # torch keeps a tensor, apex one number for the whole group.
                state["step"] = _whole_step(state.get("step", group.get("step", 0)))

    @torch.no_grad()
    def step(self, closure=None):
        """One update of all parameters that have a gradient; returns the closure's loss or None."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            # The kernel takes one eps per call, and ours depends on the step.
            batches = defaultdict(list)
            for param in group["params"]:
                if param.grad is not None:
                    step, *tensors = self._advance(param)
                    master = tensors[0]
                    batches[step, master.device, master.dtype].append(tensors)
                    if master is not param:
                        batches["copy back"].append((param, master))
            copies = batches.pop("copy back", ())
            for (step, device, _), tensors in batches.items():
                fused_update(*zip(*tensors, strict=True), step=step, device=device, group=group)
            for param, master in copies:
                param.copy_(master)
        return loss

    def _advance(self, param):
        """Count a step of ``param``. Returns (step, master, gradient, exp_avg, exp_avg_sq).

        The tensors have one dtype, device and layout: on a CPU the kernel walks their memory in
        parallel and looks at no strides.
        """
        if param.grad.is_sparse:
            raise RuntimeError("fused_adam does not support sparse gradients")
        wide = param.dtype in (torch.float32, torch.float64)
        master = param if wide else param.float()
        if not master.is_contiguous():
            master = master.contiguous()
        state = self.state[param]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(master)
            state["exp_avg_sq"] = torch.zeros_like(master)
        # The kernel walks memory without looking at shapes: another one would be written past its end.
        for name in ("exp_avg", "exp_avg_sq"):
            _refuse_unfit(name, state.get(name), master)
            state[name] = state[name].to(master).contiguous()
        state["step"] += 1
        gradient = param.grad.to(master.dtype).contiguous()
        return state["step"], master, gradient, state["exp_avg"], state["exp_avg_sq"]


def _whole_step(step):
    """A checkpoint's count of updates as int. Raises :class:`UserError`."""
    try:
        if float(step) >= 0 and float(step) == int(step):
            return int(step)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    raise UserError(
        f"fused_adam: the checkpoint's optimizer has made {step!a} updates of a parameter, must be a "
        "whole number; use another checkpoint, or give --reset-optimizer"
    )


def _refuse_unfit(name, average, parameter):
    """Raise :class:`UserError` where a running average of a checkpoint is not its parameter's."""
    if not torch.is_tensor(average):
        problem = f"{name} is missing" if average is None else f"{name} is no tensor"
    elif average.shape != parameter.shape:
        problem = f"{name} is {tuple(average.shape)}, its parameter {tuple(parameter.shape)}"
    elif not average.is_floating_point() or average.layout != torch.strided:
        problem = f"{name} is {average.dtype}, {average.layout}, must be floating point and dense"
    else:
        return
    raise UserError(
        f"fused_adam: the checkpoint's optimizer does not fit the model: {problem}; use another "
        "checkpoint, or give --reset-optimizer"
    )


def fused_update(masters, gradients, exp_avgs, exp_avg_sqs, *, step, device, group):
    """Update ``masters`` and their averages in place, as fairseq's Adam does at its ``step``."""
    beta1, beta2 = group["betas"]
    # Filled by the device: nothing is copied from the host and nothing waits. The kernel reads the
    # step and does not change it, so one tensor serves all parameters.
    step_tensor = torch.full((), float(step), dtype=torch.float32, device=device)
    torch._fused_adamw_(
        masters,
        gradients,
        exp_avgs,
        exp_avg_sqs,
        [],
        [step_tensor] * len(masters),
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"] / math.sqrt(1 - beta2**step),
        amsgrad=False,
        maximize=False,
    )


@dataclass
class FusedAdamConfig(FairseqDataclass):
    adam_betas: Any = field(
        default=(0.9, 0.999),
        metadata={
            "help": "Decay rates of the running averages of the gradient and the squared gradient."
        },
    )
    adam_eps: float = field(
        default=1e-8,
        metadata={
            "help": "Term added to the root of the squared average, which is not "
            "bias-corrected (fairseq)."
        },
    )
    weight_decay: float = field(
        default=0.0,
        metadata={
            "help": "Decoupled weight decay; each update subtracts lr * weight_decay * parameter."
        },
    )
    fp16_adam_stats: bool = field(
        default=False, metadata={"help": "Not supported; the running averages are kept in float32."}
    )
    lr: list[float] = II("optimization.lr")


@register_optimizer("fused_adam", dataclass=FusedAdamConfig)
class FusedAdam(FairseqOptimizer):
    """fairseq's side of :class:`FusedAdamW`: options in, ``torch.optim`` object out."""

    def __init__(self, cfg, params):
        super().__init__(cfg)
        if cfg.fp16_adam_stats:
            raise UserError("--fp16-adam-stats: not supported by fused_adam; leave it out")
        self._optimizer = FusedAdamW(params, **self.optimizer_config)

    @property
    def optimizer_config(self):
        """Arguments of :class:`FusedAdamW` from the options."""
        lr = self.cfg.lr[0] if isinstance(self.cfg.lr, Collection) else self.cfg.lr
        return {
            "lr": lr,
            "betas": parse_betas(self.cfg.adam_betas),
            "eps": self.cfg.adam_eps,
            "weight_decay": self.cfg.weight_decay,
        }

    def average_params(self):
        """Average the optimizer's state over all processes (fairseq's BMUF calls this)."""
        for state in self.optimizer.state.values():
            for name in ("exp_avg", "exp_avg_sq"):
                state[name].div_(dist.get_world_size())
                dist.all_reduce(state[name])


# fairseq's trainer resumes an optimizer's state only if the class name in the checkpoint equals
# that of the running optimizer. The states are interchangeable, so the names are made equal: a run
# can change between adam and fused_adam at any checkpoint, in both directions.
FusedAdam.__name__ = "FairseqAdam"


def parse_betas(betas):
    """Two numbers in [0, 1) from ``--adam-betas``: a string such as "(0.9, 0.98)", or a sequence.

    >>> parse_betas("(0.9, 0.98)"), parse_betas([0.9, 0.999])
    ((0.9, 0.98), (0.9, 0.999))
    """
    try:
        pair = ast.literal_eval(betas) if isinstance(betas, str) else betas
        beta1, beta2 = (float(beta) for beta in pair)
    except (ValueError, TypeError, SyntaxError):
        beta1 = beta2 = math.nan
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise UserError(f"--adam-betas {betas!r}: must be two numbers in [0, 1), as '(0.9, 0.98)'")
    return beta1, beta2
