"""Loading of state dicts, as every model of ours does it."""

import torch

from fairseq_metro.common.errors import UserError


class CheckedLoading:
    """Mixed into fairseq's model classes, before them; the model has ``encoder.embed_tokens``."""

    def load_state_dict(self, state_dict, strict=True, model_cfg=None, args=None):
        """As fairseq's, but a checkpoint of another architecture is one clear line, and so is one
        with weights that are no numbers.

        A model in half precision keeps the state dict until its first update, for the optimizer's
        float32 copies of the weights; see :mod:`fairseq_metro.trainer.master_weights`.
        """
        self.upgrade_state_dict(state_dict)
        if strict:
            refuse_other_architecture(self.state_dict(), state_dict)
        refuse_not_finite(state_dict)
        half = self.encoder.embed_tokens.weight.dtype in (torch.float16, torch.bfloat16)
        self.loaded_weights = state_dict if half else None
        return super().load_state_dict(state_dict, strict, model_cfg, args)


def refuse_other_architecture(ours, theirs):
    """Raise :class:`UserError` that names the first parameter in which two state dicts differ."""
    for key in sorted(set(ours) | set(theirs)):
        if key not in theirs:
            problem = f"it has no parameter {key}"
        elif key not in ours:
            problem = f"it has a parameter {key}, which this model lacks"
        elif ours[key].shape != theirs[key].shape:
            problem = f"{key} is {tuple(theirs[key].shape)} in it, {tuple(ours[key].shape)} here"
        else:
            continue
        raise UserError(
            f"the checkpoint is of another architecture: {problem}; give the --arch and sizes it "
            "was trained with, or another --save-dir"
        )


def refuse_not_finite(state_dict, where="the checkpoint"):
    """Raise :class:`UserError` that names the first parameter in which not all is finite."""
    for key, value in state_dict.items():
        if torch.is_tensor(value) and value.is_floating_point() and not value.isfinite().all():
            broken = int((~value.isfinite()).sum())
            raise UserError(
                f"{where}: {key} holds {broken} of {value.numel()} numbers that are NaN or infinite; "
                "use an earlier checkpoint, from before the training failed"
            )
