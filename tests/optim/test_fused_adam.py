"""fused_adam against fairseq's Adam, against a float64 loop, and across a change of the two."""

import copy
import doctest
import math
from types import SimpleNamespace

import pytest
import torch
from fairseq.optim import OPTIMIZER_DATACLASS_REGISTRY, build_optimizer
from fairseq.optim.adam import Adam, FairseqAdam
from fairseq.optim.fp16_optimizer import FP16Optimizer, MemoryEfficientFP16Optimizer
from omegaconf import OmegaConf

from fairseq_metro.common.errors import UserError
from fairseq_metro.optim import fused_adam
from fairseq_metro.optim.fused_adam import FusedAdam, FusedAdamConfig, FusedAdamW, parse_betas

SHAPES = [(7, 5), (33,), (1,), (2, 3, 4)]
GROUPS = [  # two groups that differ in everything a group holds
    dict(lr=1e-2, betas=(0.9, 0.98), eps=1e-2, weight_decay=0.1),
    dict(lr=3e-3, betas=(0.8, 0.999), eps=1e-6, weight_decay=0.0),
]
CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
)


def make_params(seed=0, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    values = [torch.randn(shape, generator=generator).to(device, dtype) for shape in SHAPES]
    return [torch.nn.Parameter(value) for value in values]


def give_gradients(params, step, missing=()):
    """Gradients of sizes from 1e-7 up, where eps matters, the same for the same step."""
    generator = torch.Generator().manual_seed(1000 + step)
    for i, param in enumerate(params):
        gradient = torch.randn(param.shape, generator=generator) * 10.0 ** (-2 * i - 1)
        param.grad = None if i in missing else gradient.to(param.device, param.dtype)


def in_two_groups(params, optimizer_class):
    halves = [dict(params=params[:2], **GROUPS[0]), dict(params=params[2:], **GROUPS[1])]
    return optimizer_class(halves)


def train(params, optimizer, steps, missing=lambda step: ()):
    for step in steps:
        give_gradients(params, step, missing(step))
        for group, base in zip(optimizer.param_groups, GROUPS, strict=False):
            group["lr"] = base["lr"] * (1 + math.sin(step))  # as an lr scheduler would
        optimizer.step()


def assert_close(ours, theirs, rel=1e-6):
    for a, b in zip(ours, theirs, strict=True):
        a, b = a.detach().double().cpu(), b.detach().double().cpu()
        assert (a - b).abs().max() <= rel * b.abs().max()


def every_third_is_missing(step):
    """Parameter 1 has no gradient in every third step, parameter 3 none in the first ten."""
    return [1] * (step % 3 == 0) + [3] * (step < 10)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("missing", [lambda step: (), every_third_is_missing])
def test_fifty_steps_equal_those_of_fairseqs_adam(missing, device):
    ours, theirs = make_params(device=device), make_params(device=device)
    optimizer, reference = in_two_groups(ours, FusedAdamW), in_two_groups(theirs, Adam)
    train(ours, optimizer, range(50), missing)
    train(theirs, reference, range(50), missing)
    assert_close(ours, theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert optimizer.state[a]["step"] == reference.state[b]["step"]
        assert_close(
            [optimizer.state[a][name] for name in ("exp_avg", "exp_avg_sq")],
            [reference.state[b][name] for name in ("exp_avg", "exp_avg_sq")],
        )


@pytest.mark.parametrize("dtype, rel", [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_fifty_steps_equal_a_float64_loop(dtype, rel):
    params = make_params(dtype=dtype)
    expected = [param.detach().double().clone() for param in params]
    m, v = ([torch.zeros_like(param) for param in expected] for _ in range(2))
    t = [0] * len(params)
    optimizer = in_two_groups(params, FusedAdamW)
    for step in range(50):
        train(params, optimizer, [step], every_third_is_missing)
        for i, param in enumerate(params):
            if param.grad is None:
                continue
            group, gradient = optimizer.param_groups[i // 2], param.grad.double()
            (beta1, beta2), lr = group["betas"], group["lr"]
            t[i] += 1
            m[i] = beta1 * m[i] + (1 - beta1) * gradient
            v[i] = beta2 * v[i] + (1 - beta2) * gradient**2
            expected[i] -= lr * group["weight_decay"] * expected[i]
            corrected = lr * math.sqrt(1 - beta2 ** t[i]) / (1 - beta1 ** t[i])
            expected[i] -= corrected * m[i] / (v[i].sqrt() + group["eps"])
    assert t == [50, 33, 50, 40]
    assert_close(params, expected, rel)


@pytest.mark.parametrize("before, after", [(FusedAdamW, Adam), (Adam, FusedAdamW)])
def test_a_run_goes_on_with_the_same_numbers_after_a_change_of_optimizer(tmp_path, before, after):
    straight, switched = make_params(), make_params()
    train(straight, in_two_groups(straight, Adam), range(50), every_third_is_missing)

    first = in_two_groups(switched, before)
    train(switched, first, range(25), every_third_is_missing)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = in_two_groups(switched, after)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    train(switched, second, range(25, 50), every_third_is_missing)
    assert_close(switched, straight)


def test_the_state_dict_looks_like_that_of_fairseqs_adam():
    ours, theirs = make_params(), make_params()
    optimizer, reference = in_two_groups(ours, FusedAdamW), in_two_groups(theirs, Adam)
    train(ours, optimizer, range(3))
    train(theirs, reference, range(3))
    a, b = optimizer.state_dict(), reference.state_dict()
    assert a["param_groups"] == b["param_groups"]
    assert a["state"].keys() == b["state"].keys()
    for key in a["state"]:
        assert a["state"][key].keys() == b["state"][key].keys()
        assert type(a["state"][key]["step"]) is int


def test_the_state_of_torchs_adamw_and_of_apex_is_read_too():
    params = make_params()
    theirs = torch.optim.AdamW(params, fused=True)
    give_gradients(params, 0)
    theirs.step()
    optimizer = FusedAdamW(make_params())
    optimizer.load_state_dict(theirs.state_dict())
    assert [state["step"] for state in optimizer.state.values()] == [1] * 4

    state = optimizer.state_dict()
    for one in state["state"].values():
        del one["step"]
    state["param_groups"][0]["step"] = 7  # apex counts per group
    optimizer.load_state_dict(state)
    assert [state["step"] for state in optimizer.state.values()] == [7] * 4


def test_amsgrad_is_refused_in_one_line():
    state = Adam(make_params(), amsgrad=True).state_dict()
    with pytest.raises(UserError, match=r"amsgrad.*--reset-optimizer"):
        FusedAdamW(make_params()).load_state_dict(state)


def test_a_transposed_parameter_or_gradient_is_read_in_its_own_order():
    base = torch.arange(12.0).view(3, 4)
    gradient = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    params = [torch.nn.Parameter(base.t()), torch.nn.Parameter(base.t().clone())]
    params[0].grad, params[1].grad = gradient.clone(), gradient.t().contiguous().t()
    assert not (params[0].is_contiguous() or params[1].grad.is_contiguous())
    for param in params:
        reference = torch.nn.Parameter(param.detach().clone())
        reference.grad = gradient
        ours, theirs = FusedAdamW([param]), Adam([reference])
        ours.step()
        theirs.step()
        ours.load_state_dict(theirs.state_dict())  # averages in the other's order of memory
        param.grad.mul_(-2)
        reference.grad = gradient * -2
        ours.step()
        theirs.step()
        assert_close([param], [reference])


def config(**options):
    options = {"_name": "fused_adam", "lr": [1e-2], "weight_decay": 0.1, **options}
    return OmegaConf.merge(OmegaConf.structured(FusedAdamConfig), options)


def test_it_is_built_by_name_with_the_options_of_fairseqs_adam():
    optimizer = build_optimizer(config(adam_betas="(0.9, 0.98)", adam_eps=1e-6), make_params())
    assert type(optimizer) is FusedAdam
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (1e-2, (0.9, 0.98), 1e-6)
    assert group["weight_decay"] == 0.1
    optimizer.set_lr(0.5)
    assert optimizer.get_lr() == 0.5


def test_the_trainer_sees_the_class_name_of_fairseqs_adam():
    assert FusedAdam.__name__ == FairseqAdam.__name__


def test_fp16_statistics_and_a_meta_device_are_refused_in_one_line():
    with pytest.raises(UserError, match="--fp16-adam-stats"):
        build_optimizer(config(fp16_adam_stats=True), make_params())
    with pytest.raises(UserError, match=r"meta.*--optimizer adam"):
        build_optimizer(config(), [torch.nn.Parameter(torch.zeros(2, device="meta"))])


@pytest.mark.parametrize("betas", ["(0.9)", "0.9, 1.0", "nonsense", [0.9, -0.1], None])
def test_betas_that_are_not_two_numbers_below_one_are_refused(betas):
    with pytest.raises(UserError, match="--adam-betas"):
        parse_betas(betas)


def test_the_documented_examples_hold():
    assert doctest.testmod(fused_adam) == doctest.TestResults(failed=0, attempted=1)


def fp16_config(optimizer):
    common = dict(
        fp16_scale_window=1000, fp16_init_scale=4, fp16_scale_tolerance=0.0,
        threshold_loss_scale=None, min_loss_scale=1e-4, fp16_no_flatten_grads=False,
    )  # fmt: skip
    optimization = dict(update_freq=[1])
    return OmegaConf.create(dict(common=common, optimizer=optimizer, optimization=optimization))


def half_training(wrap, optimizer, steps, restored=None):
    params = make_params(dtype=torch.float16)
    wrapped = wrap(fp16_config(OmegaConf.to_container(optimizer, resolve=False)), params)
    if restored is not None:
        wrapped.load_state_dict(restored[0])
        for param, value in zip(params, restored[1], strict=True):
            param.data.copy_(value)
    for step in steps:
        wrapped.zero_grad()
        give_gradients(params, step)
        wrapped._needs_sync = True
        wrapped.clip_grad_norm(1.0)
        wrapped.step()
    return wrapped, params


def stock_config():
    options = dict(_name="adam", lr=[1e-2], weight_decay=0.1, tpu=False, use_old_adam=True)
    return OmegaConf.merge(OmegaConf.structured(OPTIMIZER_DATACLASS_REGISTRY["adam"]), options)


def flat(cfg, params):
    """fairseq's flat float32 copy; its own ``build_fp32_params`` asks for a CUDA device."""
    master = torch.nn.Parameter(torch.cat([p.data.float().view(-1) for p in params]))
    master.grad = torch.zeros_like(master)
    inner = build_optimizer(cfg.optimizer, [{None: master}])
    assert inner.supports_flat_params
    return FP16Optimizer(cfg, params, inner, {None: master})


def unflat(cfg, params):
    masters = FP16Optimizer.build_fp32_params(cfg.optimizer, params, flatten=False)
    return FP16Optimizer(cfg, params, build_optimizer(cfg.optimizer, masters), masters)


@pytest.mark.parametrize("wrap", [flat, unflat, MemoryEfficientFP16Optimizer.build_optimizer])
def test_under_fairseqs_fp16_optimizers_it_does_what_fairseqs_adam_does(wrap):
    ours, params = half_training(wrap, config(), range(20))
    theirs, expected = half_training(wrap, stock_config(), range(20))
    assert_close(params, expected, rel=1e-3)  # one float16 rounding: 2 ** -11
    states = [list(o.optimizer.state.values()) for o in (ours, theirs)]
    for a, b in zip(*states, strict=True):
        assert a["exp_avg"].dtype == torch.float32
        assert_close([a["exp_avg"], a["exp_avg_sq"]], [b["exp_avg"], b["exp_avg_sq"]])


@pytest.mark.parametrize("first, second", [("ours", "theirs"), ("theirs", "ours")])
def test_memory_efficient_fp16_goes_on_after_a_change_of_optimizer(first, second):
    wrap = MemoryEfficientFP16Optimizer.build_optimizer
    configs = {"ours": config(), "theirs": stock_config()}
    before, params = half_training(wrap, configs[first], range(10))
    restored = copy.deepcopy((before.state_dict(), params))
    _, switched = half_training(wrap, configs[second], range(10, 20), restored)
    _, straight = half_training(wrap, configs["theirs"], range(20))
    assert_close(switched, straight, rel=1e-3)


def test_bmuf_averages_the_running_averages(monkeypatch):
    world = SimpleNamespace(get_world_size=lambda: 2, all_reduce=lambda t: t.mul_(2))
    monkeypatch.setattr("fairseq_metro.optim.fused_adam.dist", world)
    optimizer = build_optimizer(config(), make_params())
    give_gradients(list(optimizer.params), 0)
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict()["state"])
    optimizer.average_params()
    for key, state in optimizer.state_dict()["state"].items():
        assert_close([state["exp_avg"], state["exp_avg_sq"]],
                     [before[key]["exp_avg"], before[key]["exp_avg_sq"]])  # fmt: skip


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_step_does_not_make_the_host_wait_for_the_gpu():
    params = make_params(device="cuda")
    optimizer = in_two_groups(params, FusedAdamW)
    give_gradients(params, 0)
    optimizer.step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        optimizer.step()
        state = optimizer.state_dict()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [one["step"] for one in state["state"].values()] == [2] * 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda state: state.update(exp_avg=torch.zeros(3)),
            r"exp_avg is \(3,\), its parameter \(7, 5\)",
        ),
        (lambda state: state.update(exp_avg_sq=torch.zeros(5, 7)), r"exp_avg_sq is \(5, 7\)"),
        (lambda state: state.update(exp_avg=torch.zeros(7, 5).to_sparse()), "and dense"),
        (lambda state: state.update(exp_avg=0.5), "exp_avg is no tensor"),
        (lambda state: state.pop("exp_avg_sq"), "exp_avg_sq is missing"),
        (lambda state: state.update(step=-1), "has made -1 updates"),
        (lambda state: state.update(step=None), "has made None updates"),
        (lambda state: state.update(step=float("nan")), "has made nan updates"),
        (lambda state: state.update(step=1.5), "has made 1.5 updates"),
        (lambda state: state.update(step=torch.ones(2)), "updates of a parameter"),
    ],
)
def test_a_checkpoints_state_that_does_not_fit_is_one_line_before_an_update(change, expected):
    params = make_params()
    optimizer = FusedAdamW(params)
    train(params, optimizer, [1])
    before, saved = [p.detach().clone() for p in params], copy.deepcopy(optimizer.state_dict())
    change(saved["state"][0])
    with pytest.raises(UserError, match=expected):
        optimizer.load_state_dict(saved)
        give_gradients(params, 2)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, params, strict=True))
