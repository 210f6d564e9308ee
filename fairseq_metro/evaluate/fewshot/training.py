"""One run: fine-tune on a split's train, look at dev at intervals, keep the best (SMASH, 4.1)."""

from dataclasses import dataclass

import numpy as np
import torch

from fairseq_metro.criterions.fewshot_prompt import label_losses, predictions
from fairseq_metro.optim.fused_adam import FusedAdamW
from fairseq_metro.smash.metrics import score

CLIP = 1.0
EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Schedule:
    """One run's settings: updates, updates between looks at dev, and of the grid lr and batch."""

    lr: float
    batch: int
    steps: int
    every: int = 100
    seed: int = 13
    regression: str = "gold"


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


def predict(scorer, dataset, interval):
    """Predictions (N,) for a PromptedExamples, in its order; batches of rows of like length."""
    scorer.eval()
    order = np.argsort(dataset.sizes, kind="stable").tolist()
    found = [None] * len(order)
    with torch.no_grad():
        for start in range(0, len(order), EVALUATION_BATCH):
            chosen = order[start : start + EVALUATION_BATCH]
            out = predictions(scorer(**dataset.collater(chosen)["net_input"]), interval).tolist()
            for index, value in zip(chosen, out, strict=True):
                found[index] = value
    return np.array(found)


def metric_of(scorer, dataset, task):
    """The task's metric on a PromptedExamples: float in [-1, 1]."""
    predicted = predict(scorer, dataset, task.interval)
    return score(task.metric, predicted, dataset.targets.numpy())


def fine_tune(scorer, task, train, dev, schedule):
    """Train ``scorer`` in place and leave it as it was at its best look at dev: :class:`Trained`.

    Adam, weight decay 0, linear decay without warm-up, gradients clipped to norm 1. Dropout draws
    from torch's generator, which the caller seeds.
    """
    optimizer = FusedAdamW(scorer.parameters(), lr=schedule.lr)
    losses, looks, kept = [], [], None
    batches = batches_of(train, schedule)
    for step in range(schedule.steps):
        losses.append(
            _update(scorer, optimizer, task, train.collater(next(batches)), schedule, step)
        )
        done = step + 1
        if done % schedule.every == 0 or done == schedule.steps:
            looks.append(metric_of(scorer, dev, task))
            if earliest_best(looks) == len(looks) - 1:
                kept = {name: value.clone() for name, value in scorer.state_dict().items()}
    scorer.load_state_dict(kept)
    return Trained(losses, looks, earliest_best(looks))


def _update(scorer, optimizer, task, sample, schedule, step):
    for group in optimizer.param_groups:
        group["lr"] = schedule.lr * (1 - step / schedule.steps)
    scorer.train()
    scores = scorer(**sample["net_input"])
    losses = label_losses(scores, sample["target"], task.interval, schedule.regression)
    loss = losses.mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(scorer.parameters(), CLIP)
    optimizer.step()
    return loss.item()
