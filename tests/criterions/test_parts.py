import gc
import weakref

import torch

from fairseq_metro.criterions.parts import parts_of, sum_of_parts


def test_each_loss_keeps_its_own_parts_and_their_graphs():
    x = torch.tensor(2.0, requires_grad=True)
    first = sum_of_parts(mlm_loss=x * 3, rtd_loss=x * 5)
    second = sum_of_parts(ce=x * 7)
    assert {name: float(part) for name, part in parts_of(first).items()} == {
        "mlm_loss": 6.0,
        "rtd_loss": 10.0,
    }
    assert parts_of(second).keys() == {"ce"} and float(first) == 16.0
    parts_of(first)["rtd_loss"].backward()
    assert float(x.grad) == 5.0


def test_parts_go_when_their_loss_goes():
    gc.disable()
    try:
        for parts in ({"ce": 1.0}, {"ce": 1.0, "mlm": 2.0}):
            loss = sum_of_parts(**{name: torch.tensor(value) for name, value in parts.items()})
            part = weakref.ref(parts_of(loss)["ce"])
            del loss
            assert part() is None
    finally:
        gc.enable()
