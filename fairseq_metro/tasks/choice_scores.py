"""Loss and rank-classification accuracy of a split's tasks, and their means."""

from pathlib import Path

import numpy as np
import torch
from fairseq.logging import metrics

from fairseq_metro.common.files import write_json
from fairseq_metro.scoring import best, score_choices
from fairseq_metro.scoring.choices import MAX_TOKENS

# What is summed for each task over batches and processes: of the loss -log p and target tokens, of
# the choices right predictions, scored examples, and 1 / (number of choices).
SUMS = ("task_loss", "task_tokens", "choice_hits", "choice_scored", "choice_chance")


def choice_sums(model, batch, n_tasks, *, pad, decoder_start, max_tokens):
    """Score a :class:`~fairseq_metro.data.prompted_dataset.ChoiceBatch`.

    max_tokens: of a padded batch in scoring; None for its default.
    Returns the last three of SUMS as a dict of float64 (n_tasks,) on the model's device.
    """
    choices = [list(map(torch.from_numpy, each)) for each in batch.choices]
    scores = score_choices(
        model,
        list(map(torch.from_numpy, batch.sources)),
        choices,
        pad=pad,
        decoder_start=decoder_start,
        max_tokens=MAX_TOKENS if max_tokens is None else max_tokens,
    )
    right = np.equal(best(scores), batch.gold).astype(np.float64)
    values = right, np.ones(len(right)), np.array([1 / len(each) for each in choices])
    device = next(model.parameters()).device
    return {
        name: torch.from_numpy(np.bincount(batch.tasks, value, n_tasks)).to(device)
        if len(right)
        else torch.zeros(n_tasks, dtype=torch.float64, device=device)
        for name, value in zip(SUMS[2:], values, strict=True)
    }


def mean_of_datasets(datasets, values, weights):
    """Unweighted mean over data sets of the mean over their templates of values / weights.

    datasets: name of each task's data set; values, weights: (n_tasks,). Tasks of weight 0 do not
    count. Returns None where there is no other.

    >>> mean_of_datasets(["a", "a", "b"], np.array([4, 0, 5]), np.array([4, 4, 10]))
    0.5
    """
    means = {}
    for dataset, value, weight in zip(datasets, values, weights, strict=True):
        if weight > 0:
            means.setdefault(dataset, []).append(float(value / weight))
    return float(np.mean([np.mean(each) for each in means.values()])) if means else None


class SplitScores:
    """The tasks of one split: their sums become log entries and a JSON file.

    tasks: :class:`~fairseq_metro.data.prompted_files.PromptedTask`; one without a known data set
    (the authors' folders do not say) is a data set by itself.
    """

    def __init__(self, split, tasks):
        self.split, self.tasks = split, tasks
        self.datasets = [task.dataset or task.name for task in tasks]
        self.has_choices = any(task.choices is not None for task in tasks)

    def log(self, logging_outputs):
        """Log ``task_loss``, ``accuracy`` and ``chance``: means over data sets of templates."""
        names = SUMS if "choice_hits" in logging_outputs[0] else SUMS[:2]
        for name in names:
            metrics.log_scalar_sum(self._key(name), sum(out[name] for out in logging_outputs))
        metrics.log_derived("task_loss", self._mean("task_loss", "task_tokens"))
        if len(names) > 2:
            metrics.log_derived("accuracy", self._mean("choice_hits", "choice_scored"))
            metrics.log_derived("chance", self._mean("choice_chance", "choice_scored"))

    def _key(self, name):
        """A sum's name among the meters, which fairseq keeps over all splits, and over a resume."""
        return f"_{self.split}_{len(self.tasks)}_{name}"

    def logged(self, meters):
        """Whether a validation of this split left its sums."""
        return self._key(SUMS[0]) in meters

    def _mean(self, value, weight):
        def mean(meters):
            value_sum, weight_sum = (meters[self._key(name)].sum.cpu() for name in (value, weight))
            means = mean_of_datasets(self.datasets, value_sum.numpy(), weight_sum.numpy())
            return float("nan") if means is None else round(means, 6)

        return mean

    def summary(self, meters, num_updates):
        """All numbers as a dict; meters: name -> fairseq's, after :meth:`log`."""
        sums = {
            name: meters[self._key(name)].sum.cpu().numpy()
            for name in SUMS
            if self._key(name) in meters
        }
        pairs = {"loss": ("task_loss", "task_tokens")}
        if len(sums) > 2:
            pairs["accuracy"] = "choice_hits", "choice_scored"
            pairs["chance"] = "choice_chance", "choice_scored"

        def means(tasks):
            return {
                name: mean_of_datasets(
                    [self.datasets[t] for t in tasks], sums[value][tasks], sums[weight][tasks]
                )
                for name, (value, weight) in pairs.items()
            }

        places = np.arange(len(self.tasks))
        by_task, by_dataset = {}, {}
        for place, task in enumerate(self.tasks):
            counts = {"examples": int(sums["choice_scored"][place])} if len(sums) > 2 else {}
            named = {"dataset": task.dataset, "template": task.template}
            by_task[task.name] = {**named, **means([place]), **counts}
        for dataset in dict.fromkeys(self.datasets):
            own = [place for place in places if self.datasets[place] == dataset]
            by_dataset[dataset] = {**means(own), "templates": len(own)}
        top = {"split": self.split, "num_updates": num_updates, **means(places)}
        return {**top, "datasets": by_dataset, "tasks": by_task}

    def write(self, save_dir, meters, num_updates):
        """Write ``scores/<split>_<updates>.json`` in the run's folder; returns its path."""
        path = Path(save_dir) / "scores" / f"{self.split}_{num_updates}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.summary(meters, num_updates))
        return path
