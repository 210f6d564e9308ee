"""One run: fine-tune on a split's train, look at dev at intervals, keep the best (SMASH, 4.1)."""

from dataclasses import dataclass

import numpy as np
import torch

from fairseq_metro.criterions.distillation_losses import cross_entropy
from fairseq_metro.criterions.fewshot_prompt import label_losses, predictions
from fairseq_metro.evaluate.fewshot.trained_rows import trained_rows
from fairseq_metro.optim.fused_adam import FusedAdamW
from fairseq_metro.smash.metrics import score

CLIP = 1.0
EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Schedule:
    """One run's settings: updates, updates between looks at dev, and of the grid lr and batch.

    kd_weight, kd_temperature: of the cross entropy against a teacher's scores, where rows have them.
    """

    lr: float
    batch: int
    steps: int
    every: int = 100
    seed: int = 13
    regression: str = "gold"
    kd_weight: float = 1.0
    kd_temperature: float = 1.0


@dataclass(frozen=True)
class Trained:
    """losses: of each update, means over its batch; dev: metric at each look; best: its index."""

    losses: list
    dev: list
    best: int


def earliest_best(values):
    """Index of the highest of a list, the first of equals.

    >>> earliest_best([0.5, 0.75, 0.75])
    1
    """
    return int(np.argmax(values))


def batches_of(dataset, schedule):
    """Endless batches of indices: each epoch in an order of its own, by seed and epoch alone."""
    epoch = 0
    while True:
        epoch += 1
        order = np.random.default_rng([schedule.seed, epoch]).permutation(len(dataset)).tolist()
        for start in range(0, len(order), schedule.batch):
            yield order[start : start + schedule.batch]


def scores_of(scorer, dataset):
    """Scores (N, L) float32 for a PromptedExamples, in its order; batches of rows of like length.

    They lie in the CPU's memory, wherever the scorer computes.
    """
    scorer.eval()
    order, device = np.argsort(dataset.sizes, kind="stable"), next(scorer.parameters()).device
    scores = []
    with torch.no_grad():
        for start in range(0, len(order), EVALUATION_BATCH):
            sample = dataset.collater(order[start : start + EVALUATION_BATCH].tolist())
            scores.append(scorer(**to_device(sample["net_input"], device)).float())
    return torch.cat(scores).cpu()[torch.from_numpy(np.argsort(order))]


def predict(scorer, dataset, interval):
    """Predictions (N,) for a PromptedExamples, in its order."""
    return predictions(scores_of(scorer, dataset), interval).numpy()


def to_device(sample, device):
    """A dict's tensors on a device, also those of dicts in it."""
    if isinstance(sample, dict):
        return {name: to_device(value, device) for name, value in sample.items()}
    return sample.to(device) if torch.is_tensor(sample) else sample


def metric_of(scorer, dataset, task):
    """The task's metric on a PromptedExamples: float in [-1, 1]."""
    predicted = predict(scorer, dataset, task.interval)
    return score(task.metric, predicted, dataset.targets.numpy())


def fine_tune(scorer, task, train, dev, schedule):
    """Train ``scorer`` in place and leave it as it was at its best look at dev: :class:`Trained`.

    Adam, weight decay 0, linear decay without warm-up, gradients clipped to norm 1. Dropout draws
    from torch's generator, which the caller seeds.
    """
    table = trained_rows(scorer, train)
    train = table.small(train)
    optimizer = FusedAdamW(scorer.parameters(), lr=schedule.lr)
    losses, looks, kept = [], [], None
    batches = batches_of(train, schedule)
    for step in range(schedule.steps):
        losses.append(
            _update(scorer, optimizer, task, train.collater(next(batches)), schedule, step)
        )
        done = step + 1
        if done % schedule.every == 0 or done == schedule.steps:
            with table.whole():
                looks.append(metric_of(scorer, dev, task))
                if earliest_best(looks) == len(looks) - 1:
                    kept = {name: value.clone() for name, value in scorer.state_dict().items()}
    table.put_back()
    scorer.load_state_dict(kept)
    return Trained(losses, looks, earliest_best(looks))


def _update(scorer, optimizer, task, sample, schedule, step):
    for group in optimizer.param_groups:
        group["lr"] = schedule.lr * (1 - step / schedule.steps)
    scorer.train()
    sample = to_device(sample, next(scorer.parameters()).device)
    scores = scorer(**sample["net_input"])
    loss = batch_losses(scores, sample, task.interval, schedule).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(scorer.parameters(), CLIP)
    optimizer.step()
    return loss.item()


def batch_losses(scores, sample, interval, schedule):
    """Loss of each row from its labels' scores (B, L): (B,) fp32.

    Where a teacher's scores are there too (task KD), kd_weight times their cross entropy, equation 1
    of SMASH, times its temperature's square, is added; a row without label has that alone.
    """
    losses = label_losses(scores, sample["target"], interval, schedule.regression)
    if "soft" not in sample:
        return losses
    temperature = schedule.kd_temperature
    log_q = (sample["soft"] / temperature).log_softmax(-1)
    taught = temperature**2 * cross_entropy(scores, log_q, temperature)
    return torch.where(sample["labelled"], losses, 0.0) + schedule.kd_weight * taught
