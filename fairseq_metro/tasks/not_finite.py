"""Report a NaN or infinite loss or gradient: which update, which samples, which part of the loss.

Stock fairseq goes on where the loss alone is infinite; at a gradient that is not finite it computes
the update again under hooks which, by torch's newer rules, fail on models whose parts return dicts,
and the user reads ``StopIteration``. Here every batch of an update is remembered until the gradient's
norm is known, which the trainer waits for anyway, so that looking costs no wait of its own on a GPU.
Precisions with a loss scale (``--fp16``, ``--amp`` on a GPU) leave such an update out, and go on
doing so until no scale is left.
"""

import logging
from contextlib import nullcontext

import torch
from fairseq.utils import set_torch_seed

from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.parts import parts_of
from fairseq_metro.trainer import data_parallel
from fairseq_metro.trainer.workarounds import own_dropout_stream

logger = logging.getLogger(__name__)

NAMED = 32  # so many samples of a batch are named in the one line; the log has them all


class FiniteCheck:
    """Checks the losses and the gradient of every update of a task's training."""

    def __init__(self, cfg):
        self.cfg, self.epoch = cfg, 0
        self.batches, self.update_num = [], 0
        self.model = self.criterion = self.optimizer = None

    def watch(self, model, criterion, optimizer, update_num):
        """To be called before each forward pass; wraps the optimizer's ``clip_grad_norm`` once."""
        self.model, self.criterion, self.update_num = model, criterion, update_num
        self.optimizer = optimizer
        stock = optimizer.clip_grad_norm
        if hasattr(stock, "watched"):
            return

        def clip_grad_norm(max_norm, aggregate_norm_fn=None):
            batches, self.batches = self.batches, []
            try:
                norm = stock(max_norm, aggregate_norm_fn)
            except FloatingPointError as error:  # the smallest loss scale is too large
                raise self.explained(batches, str(error)) from error
            except OverflowError:
                self.warn_of(batches)
                raise
            except AttributeError as error:  # of --amp, which asks a scale that a CPU has not
                if has_loss_scale(optimizer):
                    raise
                raise self.explained(batches) from error
            if not _finite([norm, *(loss for _, loss, _ in batches)]):
                if not has_loss_scale(optimizer):
                    raise self.explained(batches)
                self.warn_of(batches)
            return norm

        clip_grad_norm.watched = True
        optimizer.clip_grad_norm = clip_grad_norm

    def note(self, sample, loss):
        """Remember a batch, its loss () and the parts of which that is the sum."""
        parts = {name: value.detach() for name, value in parts_of(loss).items()}
        self.batches.append((sample, loss.detach(), parts))

    def refuse_to_save(self):
        """Raise :class:`UserError` where a parameter, or a number of the optimizer, is not finite.

        To be called before a checkpoint is written: with one kept checkpoint, a NaN that the next
        update would meet takes the place of the last good one otherwise. Nothing is looked at before
        the first update.
        """
        if self.model is None:
            return
        named = list(self.model.named_parameters())
        names = {parameter: name for name, parameter in named}
        held = [(name, parameter.detach()) for name, parameter in named]
        for parameter, state in self.optimizer.optimizer.state.items():
            where = names.get(parameter, "the parameters")
            held += [(f"{key} of {where}", value) for key, value in state.items()
                     if torch.is_tensor(value)]  # fmt: skip
        bad = [name for name, value in held if value.is_floating_point() and not _finite([value])]
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise UserError(
                f"after update {self.update_num + 1} (epoch {self.epoch}): {bad[0]}{more} holds NaN "
                f"or infinity; it is not saved, and the last checkpoint stays; {self._remedy()}"
            )

    def explained(self, batches, so_far=""):
        """The error that names what is not finite in the batches of this update."""
        what = self._losses(batches) or self._gradients(batches)
        if not what:
            samples = _names(
                [sample_id for sample, _, _ in batches for sample_id in sample["id"].tolist()]
            )
            what = ["the gradient is not finite, though no part of the loss and none of its "
                    f"gradients is at fault on samples {samples}"]  # fmt: skip
            if data_parallel.world_size() > 1:
                what[0] += f" of process {data_parallel.rank()}: see what the others say"
        if so_far:
            what.append(so_far.rstrip(". "))
        error = UserError(f"{self._where()}: {'; '.join(what)}; {self._remedy()}")
        logger.error(str(error))  # at once: another process may end this one before its last line
        return error

    def warn_of(self, batches):
        """Say that a loss was not finite, where a loss scale decides what becomes of the update."""
        losses = self._losses(batches)
        if losses:
            logger.warning(f"{self._where()}: {'; '.join(losses)}")

    def _where(self):
        return f"update {self.update_num + 1} (epoch {self.epoch})"

    def _remedy(self):
        if self.cfg.fp16 is True or self.cfg.amp is True:
            change = "--bf16 or float32, or a lower --lr"
        else:
            change = "a lower --lr, a longer warm-up or a smaller --clip-norm"
        return f"look at these samples, or go on from the last checkpoint with {change}"

    def _losses(self, batches):
        """A phrase for each part of a batch's loss that is not finite, as it was computed."""
        return [
            f"{name} is {float(value)} on samples {_names(sample['id'].tolist())}"
            for sample, _, parts in batches
            for name, value in parts.items()
            if not _finite([value])
        ]

    def _gradients(self, batches):
        """The same for gradients: the update is computed again, each part by itself."""
        set_torch_seed(self.cfg.seed + self.update_num)  # as the trainer did: the same dropout
        own_dropout_stream(self.cfg.seed, self.update_num, data_parallel.rank())
        alone = getattr(self.model, "no_sync", nullcontext)
        problems, named = [], [p for p in self.model.named_parameters() if p[1].requires_grad]
        with alone():
            for sample, _, _ in batches:
                amp = self.cfg.amp is True and sample["id"].is_cuda  # fairseq's is of GPUs alone
                with torch.autocast("cuda", enabled=amp):
                    loss, _, _ = self.criterion(self.model, sample)
                for part, value in parts_of(loss).items():
                    for _, parameter in named:
                        parameter.grad = None
                    value.backward(retain_graph=True)
                    bad = [
                        name for name, parameter in named
                        if parameter.grad is not None and not _finite([parameter.grad])
                    ]  # fmt: skip
                    if bad:
                        samples = _names(sample["id"].tolist())
                        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
                        problems.append(
                            f"the gradient of {part} on samples {samples} is not finite, in "
                            f"{bad[0]}{more}"
                        )
        return problems


def has_loss_scale(optimizer):
    """Whether fairseq's optimizer scales the loss and leaves updates out that overflow."""
    scaler = getattr(optimizer, "scaler", None)
    return scaler is not None and getattr(scaler, "is_enabled", lambda: True)()


def _finite(tensors):
    flags = [torch.as_tensor(value).isfinite().all() for value in tensors]
    return bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all())


def _names(ids):
    """
    >>> _names([7, 3]), _names(range(40))[-19:]
    ('7, 3', '30, 31 and 8 others')
    """
    ids = list(ids)
    more = f" and {len(ids) - NAMED} others" if len(ids) > NAMED else ""
    return ", ".join(map(str, ids[:NAMED])) + more
