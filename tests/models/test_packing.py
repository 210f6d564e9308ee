"""Packed examples and several targets of one input: the numbers of each example alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny

PAD = 1
LENGTHS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6)), min_size=1, max_size=4)


def random_tokens(length):
    return torch.randint(4, 30, (length,))


def row(parts, width):
    """Tokens and segments of one packed row, padded to a width."""
    tokens, segments = torch.full((width,), PAD), torch.zeros(width, dtype=torch.long)
    at = 0
    for number, part in enumerate(parts, 1):
        tokens[at : at + len(part)] = part
        segments[at : at + len(part)] = number
        at += len(part)
    return tokens, segments


def packed(rows):
    """Batch of packed rows of (source, target) pairs, as keyword arguments of the model."""
    sides = []
    for side in (0, 1):
        parts = [[example[side] for example in examples] for examples in rows]
        width = max(sum(map(len, each)) for each in parts)
        sides.append(list(zip(*(row(each, width) for each in parts), strict=True)))
    (src, src_seg), (prev, prev_seg) = ([torch.stack(x) for x in side] for side in sides)
    return dict(
        src_tokens=src,
        src_lengths=None,
        prev_output_tokens=prev,
        source_segments=src_seg,
        target_segments=prev_seg,
    )


def alone(model, source, target):
    return model(source[None], None, target[None])[0][0]


@given(st.lists(LENGTHS, min_size=1, max_size=3), st.integers(0, 1000))
def test_packed_logits_equal_each_example_alone(rows, seed):
    torch.manual_seed(seed)
    model = tiny.t5()
    rows = [[(random_tokens(t), random_tokens(s)) for t, s in each] for each in rows]
    with torch.no_grad():
        logits = model(**packed(rows))[0]
        for b, examples in enumerate(rows):
            at = 0
            for source, target in examples:
                ours = logits[b, at : at + len(target)]
                torch.testing.assert_close(ours, alone(model, source, target), rtol=1e-5, atol=1e-5)
                at += len(target)
    assert torch.isfinite(logits).all()


def two_rows():
    torch.manual_seed(4)
    sizes = [[(5, 3), (7, 2)], [(4, 4)]]
    return [[(random_tokens(t), random_tokens(s)) for t, s in each] for each in sizes]


def test_packed_training_has_the_gradients_of_the_examples_alone():
    model, rows = tiny.t5(), two_rows()
    batch = packed(rows)
    logits = model(**batch)[0]
    real = batch["target_segments"].gt(0)
    logits[real].logsumexp(-1).sum().backward()
    packed_gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    for source, target in [example for each in rows for example in each]:
        alone(model, source, target).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            packed_gradients[name], parameter.grad, rtol=1e-4, atol=1e-4, msg=name
        )


def test_logits_of_chosen_positions_are_those_of_all():
    model, batch = tiny.t5(), packed(two_rows())
    index = batch["target_segments"].flatten().nonzero().squeeze(1)
    chosen, every = model(**batch, target_index=index)[0], model(**batch)[0]
    torch.testing.assert_close(chosen, every.flatten(0, 1)[index])


def test_recomputed_activations_see_the_same_segments():
    batch, gradients = packed(two_rows()), []
    for recompute in (False, True):
        torch.manual_seed(1)
        model = tiny.t5(checkpoint_activations=recompute)
        model(**batch)[0].logsumexp(-1).sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(map(torch.equal, *gradients))


def test_a_metro_model_fine_tunes_packed_too():
    metro, batch = tiny.model(), packed(two_rows())
    main = tiny.t5()
    main.load_state_dict(metro.state_dict())
    assert torch.equal(metro(**batch)[0], main(**batch)[0])


@pytest.mark.parametrize("missing", ["source_segments", "target_segments"])
def test_segments_of_one_side_alone_are_an_error(missing):
    batch = packed(two_rows())
    del batch[missing]
    with pytest.raises(ValueError, match="needed together"):
        tiny.t5()(**batch)


def test_without_segments_nothing_builds_a_mask(monkeypatch):
    model, masks = tiny.t5(), []
    stock = torch.nn.functional.scaled_dot_product_attention

    def spy(*args, attn_mask=None, is_causal=False, **kwargs):
        masks.append((attn_mask is not None, is_causal))
        return stock(*args, attn_mask=attn_mask, is_causal=is_causal, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    with torch.no_grad():  # a bias that learns has attention of its own on a CPU
        model(torch.randint(4, 30, (2, 5)), None, torch.randint(4, 30, (2, 4)))
    encoder, decoder = masks[:2], masks[2:]
    assert encoder == [(True, False)] * 2  # the relative-position bias
    assert decoder == [(False, True), (False, False)] * 2


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 1000))
def test_targets_of_one_input_equal_the_repeated_input(inputs, choices, seed):
    torch.manual_seed(seed)
    model = tiny.t5()
    src, prev = torch.randint(4, 30, (inputs, 6)), torch.randint(4, 30, (inputs * choices, 5))
    src[-1, 4:] = PAD
    with torch.no_grad():
        folded = model.decoder.extract_features(prev, model.encoder(src))
        repeated = model.encoder(src.repeat_interleave(choices, 0))
        expected = model.decoder.extract_features(prev, repeated)
    torch.testing.assert_close(folded, expected, rtol=1e-6, atol=2e-6)
