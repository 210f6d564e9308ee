"""Attention's kernels against float64; run by test_attention.py in a process of its own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from fairseq_metro.kernels.attention import attention_fused, attention_op, attention_reference
from tests.kernels.apart import device, needs_gpu
from tests.kernels.attention_cases import CAP, Case, check, errors, run

CASES = {
    "one position": Case(1, reach=3, dim=64, dropout=0.5),
    "bias, odd length, two heads": Case(33, reach=40, heads=2, dim=32, dropout=0.3),
    "bias, far tiles, padding": Case(70, reach=10, padding=True, dropout=0.1),
    "bias, causal": Case(70, reach=9, causal=True, batch=1),
    "bias, whole tiles": Case(128, reach=20, batch=1, dropout=0.2),
    "causal, dropout": Case(37, causal=True, dropout=0.4),
    "causal, fewer queries": Case(9, 75, causal=True, reach=30, batch=1),
    "causal, more queries": Case(75, 9, causal=True, reach=5, batch=1),
    "cross, padding": Case(9, 75, padding=True, dropout=0.2),
    "cross, one key": Case(5, 1, batch=1, dropout=0.5),
    "packed, bias": Case(40, segments=True, reach=3, dim=40),
    "packed, causal": Case(40, segments=True, causal=True, dropout=0.1),
    "packed, cross": Case(20, 40, segments=True),
    "T5: no scale": Case(33, reach=8, scale=1.0, size=0.2),
    "wide head": Case(33, dim=128, batch=1, reach=4),
    "width that is no power of two": Case(20, dim=80, heads=2, batch=1),
}


@pytest.mark.parametrize("name", CASES)
def test_output_and_gradients_equal_float64s(name):
    inputs = CASES[name].inputs(device=device())
    for what, error in check(attention_fused, *inputs).items():
        assert error < CAP[torch.float32], what


HALVES = [torch.float16] + [torch.bfloat16] * torch.cuda.is_available()


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("name", ["bias, far tiles, padding", "causal, dropout", "packed, cross"])
def test_half_precision_is_within_the_facts_bounds(name, dtype):
    check(attention_fused, *CASES[name].inputs(dtype, device()))


@needs_gpu
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("dim", [32, 64, 128])
@pytest.mark.parametrize("length", [384, 509, 512])
def test_lengths_of_training_on_a_gpu(length, dim, dtype):
    case = Case(length, batch=4, heads=4, dim=dim, reach=128, buckets=32, padding=True, dropout=0.1)
    for what, error in check(attention_fused, *case.inputs(dtype, "cuda")).items():
        assert error < CAP[dtype], what


shapes = st.builds(
    Case,
    queries=st.integers(1, 70),
    keys=st.none() | st.integers(1, 70),
    batch=st.integers(1, 2),
    heads=st.integers(1, 2),
    dim=st.integers(1, 40),
    reach=st.none() | st.integers(1, 80),
    causal=st.booleans(),
    padding=st.booleans(),
    segments=st.booleans(),
    dropout=st.sampled_from([0.0, 0.1, 0.9]),
)


@settings(max_examples=20 if torch.cuda.is_available() else 6)
@given(shapes)
def test_any_shape(case):
    check(attention_fused, *case.inputs(device=device()))


def test_an_input_of_padding_only_gives_zero_and_takes_no_gradient():
    found = run(attention_fused, *Case(5, padding=True, reach=2).inputs(device=device()))
    assert not found["out"][0].any() and not found["d_query"][0].any()
    assert found["out"][1].any() and found["d_query"][1].any()


PADDED = {  # queries and keys, lengths of two inputs
    "self, bias": (Case(100, reach=70, dropout=0.2), (50, 100)),
    "causal, bias": (Case(70, reach=9, causal=True), (64, 70)),
    "cross": (Case(9, 140, dropout=0.1), (65, 0)),
}


@pytest.mark.parametrize("name", PADDED)
def test_tiles_of_padding_are_not_read_and_change_nothing(name):
    """What stands there may be no number; with zeros there the bits are the same."""
    case, lengths = PADDED[name]
    query, memory, options, gradient = case.inputs(device=device())
    keys = (query if memory is None else memory)[:, :, -2:]
    place = torch.arange(keys.size(1), device=device())
    options["key_padding_mask"] = place >= torch.tensor(lengths, device=device())[:, None]
    check(attention_fused, query, memory, options, gradient)
    tiles = place // 64 * 64 >= torch.tensor(lengths, device=device())[:, None]
    assert tiles.any()
    found = []
    for filling in (0.0, float("nan")):
        keys[tiles] = filling
        found.append(run(attention_fused, query, memory, options, gradient))
    for what, value in found[0].items():
        assert torch.equal(found[1][what], value), what


def test_huge_scores_stay_finite_and_right():
    inputs = Case(20, size=100.0, reach=4).inputs(device=device())
    query, gradient = inputs[0], inputs[3]
    assert (query[:, :, 0, 0] @ query[:, :, 1, 0].transpose(1, 2)).abs().max() > 1e4
    exact = run(attention_reference, *inputs, torch.float64)
    found = run(attention_fused, *inputs)
    off = errors({"out": found["out"]}, {"out": exact["out"]})
    # Every weight is 0 or 1: a score's gradient is the difference of two equal sums d_out v in
    # float32, each off by its rounding (see attention_backward.py), and so is what is summed of it.
    value, length = query[:, :, 2, 0], query.size(1)
    rounding = 16 * 2**-24 * (gradient[:, :, 0].abs() @ value.abs().transpose(1, 2)).max()
    score = rounding * query.size(-1) ** -0.5 * query.abs().max()
    assert off["out"] < 1e-6
    parts = (found["d_query"] - exact["d_query"]).abs().amax((0, 1, 3, 4))
    assert parts[0] < score and parts[1] < length * score and parts[2] < 1e-4
    assert (found["d_table"] - exact["d_table"]).abs().max() < 2 * length * rounding


def test_a_gradient_beyond_half_precision_is_infinite_and_not_cut_off():
    query, _, options, gradient = Case(9).inputs(torch.float16, device())
    found = run(attention_fused, query, None, options, gradient * 5e4)
    assert not found["d_query"].isfinite().all()  # fairseq's loss scaler leaves the update out


def test_strided_inputs_are_read_where_they_lie():
    query, _, options, gradient = Case(12, reach=5, heads=2).inputs(device=device())
    expected = run(attention_fused, query, None, options, gradient)
    wide = torch.zeros(12, 2, 3, 2, 20, device=device())  # time first, heads with a gap
    wide.transpose(0, 1)[..., :16] = query
    turned = query.transpose(3, 4).contiguous().transpose(3, 4)  # a head's numbers lie apart
    spread = gradient.transpose(1, 3).contiguous().transpose(1, 3)
    for same in (wide.transpose(0, 1)[..., :16], turned):
        assert not same.is_contiguous()
        options = {**options, "table": options["table"].detach().requires_grad_()}
        same = same.detach().requires_grad_()
        attention_fused(same, **options).backward(spread)
        assert torch.equal(same.grad, expected["d_query"])
        assert torch.equal(options["table"].grad, expected["d_table"])


def test_the_same_inputs_give_the_same_bits():
    inputs = CASES["bias, far tiles, padding"].inputs(device=device())
    first, second = (run(attention_fused, *inputs) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_dropout_follows_torchs_generator_and_the_seed():
    query, _, options, _ = Case(24, dropout=0.5).inputs(device=device())
    given = options.pop("seed")

    def out(state, **changes):
        torch.manual_seed(state)
        return attention_fused(query, **{**options, **changes})

    assert torch.equal(out(1), out(1)) and not torch.equal(out(1), out(2))
    assert torch.equal(out(1, seed=given), out(2, seed=given))
    assert not torch.equal(out(1, seed=given), out(1, seed=given + 1))
    assert not torch.equal(out(1, seed=given), out(1, seed=given + 2**40))


def test_no_dropout_is_the_kernel_without_it_and_nearly_all_is_finite():
    query, _, options, gradient = Case(24).inputs(device=device())
    plain = run(attention_fused, query, None, options, gradient)
    zero = run(attention_fused, query, None, {**options, "dropout": 0.0}, gradient)
    assert all(torch.equal(plain[name], zero[name]) for name in plain)
    most = run(attention_fused, query, None, {**options, "dropout": 0.99999}, gradient)
    assert all(value.isfinite().all() for value in most.values())


def test_the_operators_pass_torchs_own_checks():
    case = Case(6, reach=2, padding=True, dropout=0.2, dim=8)
    query, _, options, _ = case.inputs(device=device())
    arguments = [query.requires_grad_(), None, options["table"].requires_grad_()]
    arguments += [options["bucket"], options["key_padding_mask"], None, None, options["seed"]]
    torch.library.opcheck(attention_op, (*arguments, False, 0.2, 0.3))
    query, memory, _, _ = Case(4, 6, dim=8).inputs(device=device())
    torch.library.opcheck(attention_op, (query, memory, *[None] * 6, False, 0.0, 0.3))


@pytest.mark.parametrize(
    "backend", ["aot_eager", pytest.param("inductor", marks=needs_gpu)], ids=str
)
def test_compiled_and_recomputed_it_is_the_same(backend):
    query, _, options, gradient = Case(12, reach=5, dropout=0.3).inputs(device=device())
    expected = run(attention_fused, query, None, options, gradient)
    compiled = torch.compile(attention_fused, fullgraph=True, backend=backend)
    found = run(compiled, query, None, options, gradient)
    assert all(torch.equal(found[name], expected[name]) for name in expected)

    drawn = {name: value for name, value in options.items() if name != "seed"}

    def recomputed(query, memory, **options):
        return checkpoint(attention_fused, query, memory, use_reentrant=False, **options)

    torch.manual_seed(3)
    expected = run(attention_fused, query, None, drawn, gradient)
    torch.manual_seed(3)
    found = run(recomputed, query, None, drawn, gradient)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@needs_gpu
def test_more_than_two_to_the_31_elements():
    """The last input of a large batch equals itself alone: scores 17e9, projections 3.2e9 numbers."""
    sizes = dict(queries=4096, heads=16, dim=64, reach=128, buckets=32)
    small = Case(batch=1, **sizes).inputs(torch.bfloat16, "cuda")
    query, _, options, gradient = small
    expected = run(attention_fused, query, None, options, gradient)
    many = query.expand(260, *query.shape[1:]).contiguous()
    found = run(attention_fused, many, None, options, gradient.expand(260, *gradient.shape[1:]))
    assert torch.equal(found["out"][-1:], expected["out"])
    assert torch.equal(found["d_query"][-1:], expected["d_query"])
    assert errors({"d": found["d_table"] / 260}, {"d": expected["d_table"].double()})["d"] < 1e-2


@needs_gpu
def test_no_wait_for_the_gpu():
    query, _, options, gradient = Case(130, reach=9, padding=True, dropout=0.1).inputs(
        torch.bfloat16, "cuda"
    )
    del options["seed"]
    run(attention_fused, query, None, options, gradient)  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        run(attention_fused, query, None, options, gradient)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_gpu
def test_a_replayed_graph_drops_other_weights():
    query = torch.randn(2, 64, 3, 2, 64, device="cuda", dtype=torch.bfloat16)
    attention_fused(query, dropout=0.5)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = attention_fused(query, dropout=0.5)
    graph.replay()
    first = out.clone()
    graph.replay()
    assert not torch.equal(first, out)


@needs_gpu
def test_extra_memory_does_not_grow_with_the_square_of_the_length():
    def extra(length):
        case = Case(length, batch=8, heads=8, dim=64, reach=128, dropout=0.1)
        query, _, options, gradient = case.inputs(torch.bfloat16, "cuda")
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(attention_fused, query, None, options, gradient)
        return (torch.cuda.max_memory_allocated() - before) / query.nbytes

    extra(128)
    assert (
        extra(2048) < 4
    )  # a bfloat16 gradient of the bias alone would be 10 times the projections


def test_the_reference_passes_gradcheck():
    query, _, options, _ = Case(4, reach=2, dim=3, padding=True, dropout=0.3).inputs(torch.float64)
    options["table"].requires_grad_()

    def function(query, table):
        return attention_reference(query, **{**options, "table": table})

    assert torch.autograd.gradcheck(function, (query.requires_grad_(), options["table"]))
