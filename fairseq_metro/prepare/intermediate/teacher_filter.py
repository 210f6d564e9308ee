"""Keep the examples for which a pretrained teacher predicts one of the group's words.

The teacher's probability at the mask among the words alone; an example stays if that of its
likeliest word is above this word's threshold. Source: SMASH, appendix A; the threshold is ours.
"""

import hashlib
from pathlib import Path

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file

TOKENS = 16384  # of a batch, padding counted
MADE_OF = ("*.json", "*.safetensors", "*.bin", "*.pt")


def teacher_hash(path):
    """SHA-256 over the names and contents of a model's files. Raises :class:`UserError`.

    Of a run's folder: of its last checkpoint, which is the one that is loaded.
    """
    from fairseq_metro.trainer.checkpoints import LAST

    path = Path(path)
    path = path / LAST if (path / LAST).is_file() else path
    files = [path] if path.is_file() else sorted(f for glob in MADE_OF for f in path.glob(glob))
    if not files:
        raise UserError(f"--filter-teacher {path}: no model there; give its folder or checkpoint")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {sha256_file(file)}\n".encode())
    return digest.hexdigest()


class TeacherFilter:
    """Says which examples stay; counts them in ``facts``, which the caller may exchange."""

    def __init__(self, path, group, tokenizer):
        from fairseq_metro.interchange.roberta import load_roberta

        model, teacher_tokenizer = load_roberta(path)
        if teacher_tokenizer.hash != tokenizer.hash:
            raise UserError(
                f"--filter-teacher {path}: its tokenizer is not the one that the data is made "
                "with; name the same one, or another teacher"
            )
        self._score = WordScores(model, tokenizer.pad, label_words(group.filter.words, tokenizer))
        self._words, self._above = group.filter.words, np.array(group.filter.above)
        self.facts = self.no_counts()

    def no_counts(self):
        """``facts`` before anything was counted: how often each word was likeliest, and kept."""
        return {word: {"likeliest": 0, "kept": 0} for word in self._words}

    def __call__(self, examples):
        """(k,) bool for an :class:`~.examples.Examples` of k."""
        probabilities = self._score(examples.prompts(), examples.meta[:, -1])
        likeliest, keep = passing(probabilities, self._above)
        for number, word in enumerate(self._words):
            self.facts[word]["likeliest"] += int((likeliest == number).sum())
            self.facts[word]["kept"] += int((keep & (likeliest == number)).sum())
        return keep


def passing(probabilities, above):
    """Likeliest word of each row, (k,) int, and whether it is above its threshold, (k,) bool.

    >>> passing(np.array([[0.6, 0.4], [0.3, 0.7]]), np.array([0.5, 0.9]))[1].tolist()
    [True, False]
    """
    likeliest = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(0, dtype=int)
    return likeliest, probabilities.max(axis=1, initial=0.0) > above[likeliest]


class WordScores:
    """Probabilities of a few words at the mask, among themselves: fp32, in batches by length."""

    def __init__(self, model, pad, words):
        import torch

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.eval().to(self._device)
        self._pad = pad
        self._words = torch.tensor(words, device=self._device)

    def __call__(self, prompts, masks):
        """prompts: list of k arrays of ids; masks: (k,) positions. Returns (k, words) float64."""
        scores = np.zeros((len(prompts), len(self._words)))
        for batch in batches(np.array(list(map(len, prompts)), dtype=np.int64)):
            scores[batch] = self._scores([prompts[i] for i in batch], masks[batch])
        return scores

    def _scores(self, prompts, masks):
        import torch

        longest = max(map(len, prompts))
        tokens = np.full((len(prompts), longest), self._pad, dtype=np.int64)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = prompt
        places = np.arange(len(prompts)) * longest + masks
        with torch.inference_mode():
            logits = self._model(
                torch.from_numpy(tokens).to(self._device),
                masked_index=torch.from_numpy(places.astype(np.int64)).to(self._device),
            )
        return logits[:, self._words].float().softmax(-1).double().cpu().numpy()


def batches(sizes):
    """Indices of prompts in batches of at most TOKENS padded ids, like lengths together."""
    order, first = np.argsort(sizes, kind="stable"), 0
    while first < len(order):
        last = first + 1
        while last < len(order) and (last + 1 - first) * sizes[order[last]] <= TOKENS:
            last += 1
        yield order[first:last]
        first = last


def label_words(words, tokenizer):
    """Ids of words, each one token and all different. Raises :class:`UserError`."""
    from fairseq_metro.smash.verbalizers import Verbalizer

    return list(Verbalizer.parse({word: word for word in words}, tokenizer).ids)
