"""A loss or gradient that is NaN or infinite: the line names update, samples and part of the loss."""

import re
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from fairseq.optim.dynamic_loss_scaler import DynamicLossScaler

from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions import metro_t5, prompt_distillation
from fairseq_metro.models.checked_loading import refuse_not_finite
from fairseq_metro.optim.fused_adam import FusedAdamW
from fairseq_metro.tasks.not_finite import FiniteCheck
from fairseq_metro.trainer.checkpoints import read_facts
from tests import distillation
from tests.training import train

OPTIONS = ["--max-update=4", "--disable-validation", "--no-initial-validation"]


METRO_T5 = metro_t5, metro_t5.MetroT5Criterion
DISTILLATION = prompt_distillation, prompt_distillation.PromptDistillationCriterion


class Spoilt(torch.autograd.Function):
    """The identity; its gradient is NaN."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("nan")


def plus(number):
    """A loss that is no number while its gradient stays what it was, as of a NaN in a sum."""
    return lambda x: x + number


def times(factor):
    return lambda x: x * factor


@contextmanager
def spoiling(monkeypatch, part, spoil, update, criterion=METRO_T5, per_update=1):
    """Whenever the first batch of an update is computed, a part of its loss is spoilt.

    criterion: module and class. Yields a list of (the batch's ids, loss) of each time.
    """
    module, criterion = criterion
    sum_of_parts, forward = module.sum_of_parts, criterion.forward
    batches, times_spoilt = [], []

    def spoilt_sum(**parts):
        return sum_of_parts(**{**parts, part: spoil(parts[part])})

    def spoilt_forward(self, model, sample, reduce=True):
        ids = sample["id"].tolist()
        if not model.training:
            return forward(self, model, sample, reduce)
        batches.append(ids)
        if ids not in batches[(update - 1) * per_update :][:1]:
            return forward(self, model, sample, reduce)
        with monkeypatch.context() as patch:
            patch.setattr(module, "sum_of_parts", spoilt_sum)
            found = forward(self, model, sample, reduce)
        times_spoilt.append((ids, float(found[0].detach())))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(criterion, "forward", spoilt_forward)
        yield times_spoilt


def named(spoilt):
    """The samples of the batch that was spoilt, as a message names them."""
    return f"on samples {', '.join(map(str, spoilt[0][0]))}"


@pytest.mark.parametrize(
    "part, factor", [("mlm_loss", "nan"), ("rtd_loss", "inf"), ("clm_loss", "nan")]
)
def test_a_loss_that_is_no_number_names_part_update_and_samples(
    part, factor, data, tmp_path, monkeypatch
):
    with (
        spoiling(monkeypatch, part, plus(float(factor)), update=3) as spoilt,
        pytest.raises(UserError) as error,
    ):
        train(data, tmp_path, *OPTIONS)
    said = str(error.value)
    assert said.startswith(f"update 3 (epoch 1): {part} is {factor} {named(spoilt)}; look at")
    assert said.count(" is ") == 1 and "\n" not in said
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize(
    "part, more",
    [
        ("mlm_loss", ["--amp"]),
        ("rtd_loss", ["--checkpoint-activations"]),
        ("clm_loss", ["--bf16"]),
    ],
    ids=str,
)
def test_a_gradient_that_is_no_number_names_them_too(part, more, data, tmp_path, monkeypatch):
    with (
        spoiling(monkeypatch, part, Spoilt.apply, update=3) as spoilt,
        pytest.raises(UserError) as error,
    ):
        train(data, tmp_path, *OPTIONS, *more)
    said = str(error.value)
    assert said.startswith(
        f"update 3 (epoch 1): the gradient of {part} {named(spoilt)} is not finite, in "
    )
    assert spoilt[0] == spoilt[1]  # the same dropout, when it looked for the part
    assert re.search(r"in (en|de)coder\S+ and \d+ more; look at", said)
    assert not any(other in said for other in {"mlm_loss", "rtd_loss", "clm_loss"} - {part})


def test_of_accumulated_batches_the_one_at_fault_is_named(data, tmp_path, monkeypatch):
    for spoil in (times(float("nan")), Spoilt.apply):
        with (
            spoiling(monkeypatch, "clm_loss", spoil, update=2, per_update=3) as spoilt,
            pytest.raises(UserError) as error,
        ):
            train(data, tmp_path, *OPTIONS, "--update-freq=3", "--no-save")
        assert named(spoilt) in str(error.value)
        assert str(error.value).startswith("update 2 ") and str(error.value).count("samples") == 2


def test_a_run_goes_on_after_it(data, tmp_path, monkeypatch):
    saving = [*OPTIONS, "--save-interval-updates=1"]
    whole = train(data, tmp_path / "whole", *saving).losses()
    with (
        spoiling(monkeypatch, "mlm_loss", times(float("nan")), update=3),
        pytest.raises(UserError),
    ):
        train(data, tmp_path / "run", *saving)
    resumed = train(data, tmp_path / "run", *saving).losses()
    assert resumed == {update: whole[update] for update in (3, 4)}


def test_the_parts_of_a_distillation_are_named(tmp_path, monkeypatch):
    teacher = distillation.write_teacher(tmp_path / "teacher")
    data = distillation.make_data(tmp_path)
    options = [*OPTIONS, f"--teacher={teacher}", "--hidden-weight=1"]
    for part in ("ce", "hidden"):
        with (
            spoiling(monkeypatch, part, times(float("nan")), 1, DISTILLATION) as spoilt,
            pytest.raises(UserError) as error,
        ):
            distillation.train(data, tmp_path / "run", *options)
        assert f"1): {part} is nan {named(spoilt)}; " in str(error.value)


# Loss scales


class Parameter:
    """What FiniteCheck needs of a fairseq optimizer in float16."""

    def __init__(self, norm, scale=4.0, floor=1.0):
        self.scaler = DynamicLossScaler(init_scale=scale, min_loss_scale=floor)
        self.norm = norm

    def clip_grad_norm(self, max_norm, aggregate_norm_fn=None):
        self.scaler.check_overflow(float(self.norm))
        return torch.tensor(self.norm)


def checked(optimizer, loss):
    """A check that has seen one batch of float16 training."""
    cfg = SimpleNamespace(seed=1, fp16=True, amp=False)
    model = torch.nn.Linear(2, 1)

    def criterion(model, sample):
        return model(sample["x"]).sum(), 2, {}

    check = FiniteCheck(cfg)
    check.watch(model, criterion, optimizer, update_num=6)
    check.watch(model, criterion, optimizer, update_num=6)  # wrapped once
    sample = {"id": torch.tensor([5, 9]), "x": torch.ones(2, 2)}
    check.note(sample, torch.tensor(loss))
    return check


def test_an_overflow_under_a_loss_scale_is_fairseqs_to_mend(caplog):
    optimizer = Parameter(float("inf"), scale=64.0)
    checked(optimizer, 2.0)
    with pytest.raises(OverflowError, match=r"setting loss scale to: 32"):
        optimizer.clip_grad_norm(0.0)
    assert not caplog.records


def test_a_loss_that_is_nan_under_a_loss_scale_is_named_and_left_out(caplog):
    optimizer = Parameter(float("nan"), scale=64.0)
    checked(optimizer, float("nan"))
    with pytest.raises(OverflowError):
        optimizer.clip_grad_norm(0.0)
    (record,) = caplog.records
    assert record.message == "update 7 (epoch 0): loss is nan on samples 5, 9"


def test_a_loss_alone_that_is_infinite_is_named_under_a_loss_scale(caplog):
    optimizer = Parameter(3.0)
    checked(optimizer, float("inf"))
    assert optimizer.clip_grad_norm(0.0) == 3.0
    (record,) = caplog.records
    assert record.message == "update 7 (epoch 0): loss is inf on samples 5, 9"


def test_the_smallest_loss_scale_ends_the_run_with_all_that_is_known():
    optimizer = Parameter(float("inf"), scale=1.5)
    check = checked(optimizer, 2.0)
    with pytest.raises(UserError) as error:
        optimizer.clip_grad_norm(0.0)
    said = str(error.value)
    assert "none of its gradients is at fault on samples 5, 9" in said
    assert "Minimum loss scale reached" in said and "--bf16 or float32" in said
    assert not check.batches


def test_an_update_that_is_finite_leaves_nothing_behind():
    optimizer = Parameter(3.0)
    check = checked(optimizer, 2.0)
    assert optimizer.clip_grad_norm(0.0) == 3.0 and not check.batches


def test_stock_fairseq_still_says_less(data, tmp_path, monkeypatch):
    """Should this fail, the check has had its day."""
    monkeypatch.setattr(FiniteCheck, "watch", lambda *_: None)
    with (
        spoiling(monkeypatch, "mlm_loss", times(float("nan")), update=1),
        pytest.raises(Exception, match=r"^$|gradients are Nan/Inf$") as error,
    ):
        train(data, tmp_path, *OPTIONS)
    assert isinstance(error.value, StopIteration | FloatingPointError)


@pytest.mark.parametrize("where", ["parameter", "average"])
def test_what_is_not_finite_never_takes_the_place_of_the_last_good_checkpoint(
    where, data, tmp_path, monkeypatch
):
    """The third update leaves a NaN behind, which the fourth would meet."""
    stock = FusedAdamW.step

    def step(self, closure=None):
        stock(self, closure)
        parameter = self.param_groups[0]["params"][3]
        if self.state[parameter]["step"] == 3:
            held = parameter if where == "parameter" else self.state[parameter]["exp_avg_sq"]
            held.detach().view(-1)[0] = float("nan")

    monkeypatch.setattr(FusedAdamW, "step", step)
    options = ["--max-update=9", "--disable-validation", "--save-interval-updates=1"]
    with pytest.raises(UserError, match=r"after update 3 .*and the last checkpoint stays"):
        train(data, tmp_path, *options, "--keep-interval-updates=1", "--no-initial-validation")
    facts = read_facts(tmp_path / "checkpoint_last.pt")
    assert facts["num_updates"] == 2
    refuse_not_finite(torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)["model"])
