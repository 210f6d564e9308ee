"""Batches of prompted pairs: right-padded, packed or not, with their answer choices."""

from dataclasses import dataclass

import numpy as np
import torch

from fairseq_metro.data.padding import right_padded


@dataclass
class ChoiceBatch:
    """The examples of a batch that have choices; plain arrays, since fairseq would move tensors.

    tasks: each example's task, ints. sources, choices: (T_i,) and C_i times (S_ij,) int64 with
    ``</s>``. gold: index of the right choice. Lists of equal length.
    """

    tasks: list
    sources: list
    choices: list
    gold: list


def collate(samples, pad, decoder_start, multiple, packed):
    """Right-padded batch of samples of a ``PromptedDataset``. (B, T) and (B, S), multiples of
    ``multiple``.

    net_input: src_tokens (B, T), src_lengths (B,), prev_output_tokens (B, S) (the decoder's start
    symbol, then the target shifted by one), target_index (N,) int64: where the flattened (B, S) is
    no padding; padded (bool: is there any in src_tokens); packed also source_segments (B, T),
    target_segments (B, S), from 1 within each row, 0 at padding. target (B, S). n_target (N),
    ntokens (of both sides), nsentences (examples), size (B * (T + S)): Python numbers. Not packed:
    task (B,) int64. Where samples have answer choices: choices, a :class:`ChoiceBatch`.
    """
    sources, targets = ([sample[side] for sample in samples] for side in ("sources", "targets"))
    inputs = [[np.append(decoder_start, tokens[:-1]) for tokens in row] for row in targets]
    src_tokens, target, prev_output_tokens = (
        _rows(rows, pad, multiple) for rows in (sources, targets, inputs)
    )
    src_lengths = [sum(map(len, row)) for row in sources]
    target_index = np.concatenate(
        [row * target.size(1) + np.arange(sum(map(len, each))) for row, each in enumerate(targets)]
    )
    net_input = {
        "src_tokens": src_tokens,
        "src_lengths": torch.tensor(src_lengths),
        "prev_output_tokens": prev_output_tokens,
        "target_index": torch.from_numpy(target_index),
        "padded": min(src_lengths) < src_tokens.size(1),
    }
    batch = {
        "id": torch.tensor([sample["id"] for sample in samples]),
        "nsentences": sum(map(len, targets)),
        "ntokens": sum(src_lengths) + len(target_index),
        "n_target": len(target_index),
        "size": src_tokens.numel() + target.numel(),
        "target": target,
        "net_input": net_input,
    }
    if packed:
        net_input["source_segments"] = _segments(sources, multiple)
        net_input["target_segments"] = _segments(targets, multiple)
    else:
        batch["task"] = torch.tensor([sample["tasks"][0] for sample in samples])
    if "answer_choices" in samples[0]:
        batch["choices"] = _choice_batch(samples)
    return batch


def _rows(rows, pad, multiple):
    """Lists of arrays -> padded int64 (B, T), each list end to end."""
    return torch.from_numpy(right_padded(list(map(np.concatenate, rows)), pad, multiple))


def _segments(rows, multiple):
    numbers = [np.repeat(np.arange(len(row)) + 1, list(map(len, row))) for row in rows]
    return torch.from_numpy(right_padded(numbers, 0, multiple))


def _choice_batch(samples):
    batch = ChoiceBatch([], [], [], [])
    for sample in samples:
        for place, choices in enumerate(sample["answer_choices"]):
            if choices is not None:
                batch.tasks.append(sample["tasks"][place])
                batch.sources.append(sample["sources"][place])
                batch.choices.append(choices[0])
                batch.gold.append(choices[1])
    return batch
