import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from fairseq.sequence_generator import SequenceGenerator

from fairseq_metro.common.errors import UserError
from fairseq_metro.models.hf_t5 import HfT5Config, HfT5Model
from fairseq_metro.models.soft_prompt import add_soft_prompt
from fairseq_metro.scoring import score_choices
from tests import tiny

N, PAD, V = 5, 1, len(tiny.dictionary())


def hf_t5():
    config = HfT5Config(
        embed_dim=16, ffn_dim=24, attention_heads=2, head_dim=8, encoder_layers=2, decoder_layers=2,
        relative_position_buckets=8, relative_position_max_distance=20, max_positions=64,
    )  # fmt: skip
    torch.manual_seed(5)
    task = SimpleNamespace(source_dictionary=tiny.dictionary())
    return HfT5Model.build_model(config, task).eval()


def t5():
    torch.manual_seed(5)
    return tiny.t5()


KINDS = pytest.mark.parametrize("build", [t5, hf_t5])


def save(model, path):
    torch.save(model.state_dict(), path)
    return path


def load(model, path):
    """What a task does for --init-from; names are the model's own, prompt or not."""
    found = torch.load(path, weights_only=True)
    own = model.state_dict()
    assert found.keys() == own.keys()
    with torch.no_grad():
        for key, value in found.items():
            own[key].copy_(value)


def blank(build):
    """The model as a task builds it: other parameters than those in the file."""
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    return model


@pytest.fixture
def prompted(tmp_path):
    def make(build, tokens=N, seed=1):
        path = save(build(), tmp_path / "whole.pt")
        return add_soft_prompt(blank(build), tokens, load=load, source=path, seed=seed).eval()

    return make


def batch():
    generator = torch.Generator().manual_seed(4)
    x = torch.randint(4, V, (3, 9), generator=generator)
    x[1, 5:] = PAD
    return x, torch.tensor([9, 5, 9]), torch.randint(4, V, (3, 4), generator=generator)


def by_hand_metro(model, prompt, x):
    encoder = model.encoder
    vectors = torch.cat([prompt.expand(len(x), -1, -1), encoder.embed_tokens.weight[x]], dim=1)
    positions = encoder.embedding.positions.weight[: vectors.size(1)]
    h = encoder.embedding.layer_norm(vectors + positions)
    mask = torch.cat([torch.zeros(len(x), len(prompt), dtype=torch.bool), x.eq(PAD)], dim=1)
    for layer, bias in zip(encoder.layers, encoder.relative_positions, strict=True):
        h = layer(h, bias(h.size(1)), mask)
    return {"encoder_out": [h], "encoder_padding_mask": [mask]}


def by_hand_hf_t5(model, prompt, x):
    encoder = model.encoder
    h = torch.cat([prompt.expand(len(x), -1, -1), encoder.embed_tokens.weight[x]], dim=1)
    mask = torch.cat([torch.zeros(len(x), len(prompt), dtype=torch.bool), x.eq(PAD)], dim=1)
    bias = encoder.relative_positions(h.size(1), h.size(1))
    h = encoder.through_layers(h, bias.masked_fill(mask[:, None, None, :], -1e30))
    return {"encoder_out": [h], "encoder_padding_mask": [mask]}


@KINDS
def test_it_is_the_model_after_a_concatenation_by_hand(prompted, build):
    model, whole = prompted(build), build()
    with torch.no_grad():
        model.soft_prompt.copy_(torch.randn(N, 16))
        x, lengths, y = batch()
        by_hand = by_hand_metro if build is t5 else by_hand_hf_t5
        expected, _ = whole.decoder(y, by_hand(whole, model.soft_prompt, x))
        torch.testing.assert_close(model(x, lengths, y)[0], expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(whole(x, lengths, y)[0], expected, atol=1e-2)


@KINDS
def test_only_the_prompt_is_trained_and_it_learns(prompted, build):
    model = prompted(build)
    x, lengths, y = batch()
    prev = F.pad(y[:, :-1], (1, 0), value=2)
    before = copy.deepcopy({name: p.detach() for name, p in model.named_parameters()})
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == N * 16
    optimizer, losses = torch.optim.Adam(trained, lr=0.1), []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x, lengths, prev)[0].flatten(0, 1), y.flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3
    for name, parameter in model.named_parameters():
        same = torch.equal(parameter.detach(), before[name])
        assert same == (name != "soft_prompt"), name
        assert (parameter.grad is None) == (name != "soft_prompt")


@KINDS
def test_a_checkpoint_holds_the_prompt_and_finds_its_model(prompted, build, tmp_path):
    model = prompted(build)
    path = save(model, tmp_path / "prompt.pt")
    state = torch.load(path, weights_only=True)
    assert state.keys() == {"soft_prompt", "frozen_model"}
    assert sum(value.nbytes for value in state.values()) < N * 16 * 4 + 600
    assert 3 * path.stat().st_size < (tmp_path / "whole.pt").stat().st_size
    again = add_soft_prompt(blank(build), N, load=load).eval()
    again.load_state_dict(state, strict=True, model_cfg=None)
    x, lengths, y = batch()
    assert torch.equal(again(x, lengths, y)[0], model(x, lengths, y)[0])
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())


def test_a_checkpoint_that_does_not_fit_is_one_line(prompted, tmp_path):
    state = prompted(t5).state_dict()

    def message(model, state):
        with pytest.raises(UserError) as caught:
            model.load_state_dict(state)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    other = t5()
    with torch.no_grad():
        other.decoder.layers[0].ffn.fc1.bias[0] += 1e-3
    elsewhere = add_soft_prompt(t5(), N, load=load, source=save(other, tmp_path / "other.pt"))
    assert "other.pt is" in message(elsewhere, state)
    more = add_soft_prompt(t5(), N + 1, load=load)
    assert "give --soft-prompt-tokens 5" in message(more, state)
    assert "holds no soft prompt" in message(more, t5().state_dict())
    (tmp_path / "whole.pt").unlink()
    assert "no such model" in message(add_soft_prompt(t5(), N, load=load), state)
    moved = save(t5(), tmp_path / "moved.pt")
    add_soft_prompt(blank(t5), N, load=load, source=moved).load_state_dict(state)
    add_soft_prompt(blank(t5), N, load=load, named=moved).load_state_dict(state)
    unnamed = add_soft_prompt(blank(t5), N, load=load, named="")
    assert "a path in a checkpoint is not followed" in message(unnamed, state)


def test_it_begins_as_rows_of_the_table_that_the_seed_draws(prompted):
    table = t5().encoder.embed_tokens.weight

    def rows(model):
        found = [(table == vector).all(-1).nonzero().flatten() for vector in model.soft_prompt]
        assert all(len(each) == 1 for each in found)
        return [int(each) for each in found]

    one, same, other = (rows(prompted(t5, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other
    many = rows(prompted(t5, tokens=60))
    assert set(many) == set(range(4, V))
    assert len(set(one)) == N and set(one) <= set(range(4, V))


def test_in_half_precision_the_tables_stay_one(prompted):
    model = prompted(hf_t5).bfloat16()
    assert model.encoder.encoder.embed_tokens.weight is model.decoder.embed_tokens.weight
    x, lengths, y = batch()
    assert model(x, lengths, y)[0].dtype == torch.bfloat16
    state = model.state_dict()
    model.load_state_dict(state)
    assert model.loaded_weights is not None
    again = add_soft_prompt(blank(hf_t5), N, load=load).bfloat16().eval()
    again.load_state_dict(state)  # the frozen model is known by its float32 values
    assert torch.equal(again(x, lengths, y)[0], model(x, lengths, y)[0])


@KINDS
def test_generation_and_scores_of_choices_read_it(prompted, build):
    model, words = prompted(build), tiny.dictionary()
    x, lengths, _ = batch()
    generator = SequenceGenerator([model], words, beam_size=2, max_len_a=0, max_len_b=4)
    sample = {"net_input": {"src_tokens": x, "src_lengths": lengths}}
    found = generator.generate([model], sample)
    choices = [[hypothesis["tokens"] for hypothesis in each] for each in found]
    sources = [row[:length] for row, length in zip(x, lengths, strict=True)]
    scores = score_choices(model, sources, choices, pad=PAD, decoder_start=2)
    for hypotheses, row in zip(found, scores, strict=True):
        expected = torch.stack([h["positional_scores"].sum() for h in hypotheses])
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)


def test_the_positions_it_takes_are_missing_at_the_end(prompted):
    assert prompted(t5).max_positions() == (64 - N, 64)
    for tokens in (0, -1, 64):
        with pytest.raises(UserError, match=f"--soft-prompt-tokens is {tokens}, must be above 0"):
            add_soft_prompt(t5(), tokens, load=load)


def test_packed_examples_are_refused(prompted):
    x, lengths, y = batch()
    with pytest.raises(UserError, match="do not pack"):
        prompted(t5)(x, lengths, y, source_segments=x.ne(PAD).long(),
                          target_segments=torch.ones_like(y))  # fmt: skip
