"""``--optimizer plain_adafactor``: fairseq's Adafactor, with options that a checkpoint can hold.

fairseq's own ``adafactor`` knows no dataclass: a checkpoint then carries the whole command line as a
pickled ``Namespace``, which no safe reader loads, so a run could be neither resumed nor asked. The
update here is fairseq's, line for line its class (Shazeer and Stern, 2018), at the learning rate of
the schedule. Its two other modes are left out: ``relative_step`` ignores the schedule, and
``scale_parameter`` multiplies the rate of a parameter by the sizes of all parameters before it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from fairseq.optim.adafactor import Adafactor
from omegaconf import II

# The paper's: what is added to a squared gradient, whose average decays by 1 - t^DECAY_RATE at step t.
EPS, DECAY_RATE = 1e-30, -0.8


@dataclass
class PlainAdafactorConfig(FairseqDataclass):
    clip_threshold: float = field(
        default=1.0, metadata={"help": "Maximum root mean square of a parameter's update."}
    )
    weight_decay: float = field(
        default=0.0,
        metadata={
            "help": "Decoupled weight decay; each update subtracts lr * weight_decay * parameter."
        },
    )
    lr: list[float] = II("optimization.lr")


@register_optimizer("plain_adafactor", dataclass=PlainAdafactorConfig)
class PlainAdafactor(FairseqOptimizer):
    """fairseq's side of its ``Adafactor``: options in, ``torch.optim`` object out."""

    def __init__(self, cfg, params):
        super().__init__(cfg)
        self._optimizer = Adafactor(params, **self.optimizer_config)

    @property
    def optimizer_config(self):
        """Arguments of fairseq's ``Adafactor`` from the options."""
        lr = self.cfg.lr[0] if isinstance(self.cfg.lr, Collection) else self.cfg.lr
        return {
            "lr": lr,
            "eps": (EPS, 1e-3),  # the second is scale_parameter's
            "clip_threshold": self.cfg.clip_threshold,
            "decay_rate": DECAY_RATE,
            "beta1": None,
            "weight_decay": self.cfg.weight_decay,
            "scale_parameter": False,
            "relative_step": False,
            "warmup_init": False,
        }
