"""plain_adafactor: the update by hand in float64, and the rate that is the schedule's."""

import pytest
import torch
from fairseq.optim import build_optimizer
from fairseq.optim.adafactor import Adafactor
from omegaconf import OmegaConf

from fairseq_metro.optim.plain_adafactor import PlainAdafactorConfig

SHAPES = [(7, 5), (33,), (2, 3, 4)]


def config(**changes):
    given = {"_name": "plain_adafactor", "lr": [3e-3], **changes}
    return OmegaConf.merge(OmegaConf.structured(PlainAdafactorConfig()), given)


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def gradients(step):
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(shape, generator=generator) * 10.0 ** (1 - 2 * step) for shape in SHAPES]


def by_hand(values, steps, lr, clip, weight_decay):
    """Shazeer and Stern (2018), algorithms 4 and 5 without relative steps, in float64."""
    values = [value.detach().double() for value in values]
    rows, columns, whole = {}, {}, {}
    for step in range(1, steps + 1):
        beta = 1 - step**-0.8
        for i, gradient in enumerate(g.double() for g in gradients(step)):
            square = gradient**2 + 1e-30
            if gradient.dim() > 1:
                rows[i] = beta * rows.get(i, 0) + (1 - beta) * square.mean(-1)
                columns[i] = beta * columns.get(i, 0) + (1 - beta) * square.mean(-2)
                v = rows[i][..., :, None] * columns[i][..., None, :]
                v = v / rows[i].mean(-1)[..., None, None]
            else:
                v = whole[i] = beta * whole.get(i, 0) + (1 - beta) * square
            update = gradient / v.sqrt()
            update = update / max(1.0, float(update.square().mean().sqrt()) / clip)
            values[i] = values[i] * (1 - lr * weight_decay) - lr * update
    return values


@pytest.mark.parametrize("changes", [{}, dict(clip_threshold=0.5, weight_decay=0.1)])
def test_the_update_is_the_papers(changes):
    ours, cfg = parameters(), config(**changes)
    optimizer = build_optimizer(cfg, ours)
    for step in (1, 2, 3):
        for parameter, gradient in zip(ours, gradients(step), strict=True):
            parameter.grad = gradient
        optimizer.step()
    theirs = by_hand(parameters(), 3, 3e-3, cfg.clip_threshold, cfg.weight_decay)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-6)


def test_the_rate_is_the_schedules_whatever_the_size_of_a_parameter():
    optimizer = build_optimizer(config(), parameters())
    assert isinstance(optimizer.optimizer, Adafactor)
    optimizer.set_lr(0.25)
    for parameter, gradient in zip(optimizer.params, gradients(1), strict=True):
        parameter.grad = gradient
    optimizer.step()
    assert optimizer.get_lr() == 0.25
