"""ROC area of the RTD head from a histogram with fixed bins, which adds over batches and workers."""

import torch

BINS = 2048
LARGEST_LOGIT = 10.0


def rtd_histogram(logits, replaced, real):
    """Counts of logits per bin, originals in row 0 and replaced tokens in row 1.

    logits (B, T) any float; replaced, real (B, T) bool; padding is not counted. Logits beyond
    +-10 fall into the outermost bins. Returns (2, 2048) float64; no wait for the device.
    """
    scaled = (logits.detach().float() + LARGEST_LOGIT) * (BINS / (2 * LARGEST_LOGIT))
    slot = scaled.long().clamp_(0, BINS - 1) + replaced.long() * BINS
    counts = torch.zeros(2 * BINS, dtype=torch.float64, device=logits.device)
    return counts.index_add_(0, slot.flatten(), real.flatten().double()).view(2, BINS)


def area_under_curve(histogram):
    """P(logit of a replaced token > logit of an original one), equal bins counting one half.

    Returns NaN where one of the classes is empty.
    """
    if not torch.is_tensor(histogram):
        return float("nan")
    original, replaced = histogram.double().cpu()
    pairs = float(original.sum() * replaced.sum())
    if pairs == 0:
        return float("nan")
    below = original.cumsum(0) - original / 2
    return float((replaced * below).sum()) / pairs
