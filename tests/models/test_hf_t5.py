"""The model alone; that it computes what transformers does is tested with the import as well."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.sequence_generator import SequenceGenerator

from fairseq_metro.common.errors import UserError
from fairseq_metro.models.hf_t5 import ARCHITECTURES, HfT5Config, HfT5Model
from fairseq_metro.models.hf_t5.model import NO_LOGIT
from fairseq_metro.models.hf_t5.relative_position import (
    RelativePositions,
    relative_position_bucket,
)
from tests import tiny

PAD, V = 1, len(tiny.dictionary())


def config(**changes):
    sizes = dict(
        embed_dim=20,
        ffn_dim=28,
        attention_heads=4,
        head_dim=6,
        encoder_layers=3,
        decoder_layers=2,
        relative_position_buckets=8,
        relative_position_max_distance=20,
        max_positions=64,
    )
    return HfT5Config(**{**sizes, **changes})


def build(**changes):
    """A small model all of whose parameters are non-zero, in evaluation mode."""
    torch.manual_seed(5)
    model = HfT5Model.build_model(
        config(**changes), SimpleNamespace(source_dictionary=tiny.dictionary())
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def tokens(*sizes, seed=1):
    """Right-padded random sources (B, T)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(4, V, (len(sizes), max(sizes)), generator=generator)
    for row, size in enumerate(sizes):
        x[row, size:] = PAD
    return x


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


BOTH = pytest.mark.parametrize(
    "kind", [{}, dict(activation="gated-gelu", untied_output=True)], ids=["v1.0", "v1.1"]
)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("buckets, distance", [(32, 128), (10, 17), (4, 3), (64, 256), (33, 100)])
def test_buckets_are_transformers(bidirectional, buckets, distance):
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    n = torch.arange(-400, 401)
    expected = t5.T5Attention._relative_position_bucket(n, bidirectional, buckets, distance)
    assert torch.equal(relative_position_bucket(n, bidirectional, buckets, distance), expected)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("queries, keys", [(1, 1), (5, 5), (1, 9), (3, 8), (40, 40), (2, 70)])
def test_the_bias_is_looked_up_for_every_pair(bidirectional, queries, keys):
    module = RelativePositions(8, 20, 3, bidirectional, reach=7)  # lengthened by longer inputs
    torch.nn.init.normal_(module.weight)
    bias = module(queries, keys)
    assert bias.shape == (3, queries, keys)
    for i in range(queries):
        for j in range(keys):
            distance = torch.tensor(j - (keys - queries + i))
            bucket = relative_position_bucket(distance, bidirectional, 8, 20)
            assert torch.equal(bias[:, i, j], module.weight[bucket])


@BOTH
def test_selected_positions_have_the_logits_of_a_full_pass(kind):
    model = build(**kind)
    x, y = tokens(9, 4), tokens(5, 6, seed=2)
    index = torch.tensor([0, 7, 11])
    full, _ = model(x, None, y)
    some, _ = model(x, None, y, target_index=index)
    close(some, full.flatten(0, 1)[index])


@BOTH
def test_padding_changes_nothing(kind):
    model = build(**kind)
    x, y = tokens(12, 5), tokens(4, 4, seed=2)
    together, _ = model(x, None, y)
    alone, _ = model(x[1:, :5], None, y[1:])
    close(together[1:], alone)


@BOTH
def test_decoding_step_by_step_is_decoding_at_once(kind):
    model = build(**kind)
    x, y = tokens(12, 5), tokens(7, 7, seed=2)
    full, _ = model(x, None, y)
    encoder_out, state = model.encoder(x), {}
    for length in range(1, 8):
        step, _ = model.decoder(y[:, :length], encoder_out, incremental_state=state)
        close(step[:, 0], full[:, length - 1])
    several = {}
    model.decoder(y[:, :3], encoder_out, incremental_state=several)
    rest, _ = model.decoder(y, encoder_out, incremental_state=several)
    close(rest, full[:, 3:])
    order = torch.tensor([1, 0])
    model.decoder.reorder_incremental_state(state, order)
    swapped = model.encoder.reorder_encoder_out(encoder_out, order)
    longer = torch.cat([y, torch.tensor([[5], [6]])], dim=1)
    step, _ = model.decoder(longer[order], swapped, incremental_state=state)
    close(step[:, 0], model(x, None, longer)[0][order, -1])


def test_the_pad_that_begins_the_decoder_is_a_token_like_any_other():
    model = build()
    x, y = tokens(6), torch.tensor([[PAD, 5, 6]])
    before, _ = model(x, None, y)
    with torch.no_grad():
        model.encoder.embed_tokens.weight[PAD] *= -1
    after, _ = model(x, None, y)
    assert not torch.allclose(before[..., 4:], after[..., 4:])
    after.logsumexp(-1).sum().backward()
    assert model.encoder.embed_tokens.weight.grad[PAD].abs().sum() > 0


def test_fairseqs_generator_finds_what_full_passes_find():
    model, words = build(), tiny.dictionary()
    x = tokens(8, 5)
    generator = SequenceGenerator([model], words, beam_size=3, max_len_a=0, max_len_b=6)
    sample = {"net_input": {"src_tokens": x, "src_lengths": torch.tensor([8, 5])}}
    found = generator.generate([model], sample, bos_token=PAD)
    for row, hypotheses in enumerate(found):
        for hypothesis in hypotheses:
            target = hypothesis["tokens"]
            y = torch.cat([torch.tensor([PAD]), target[:-1]]).unsqueeze(0)
            logits, _ = model(x[row : row + 1], None, y)
            scores = logits[0].log_softmax(-1)[torch.arange(len(target)), target]
            close(hypothesis["positional_scores"], scores)


@BOTH
def test_choices_of_an_input_share_its_states(kind):
    model = build(**kind)
    x, y = tokens(9, 4), tokens(3, 5, 2, 4, 5, 1, seed=2)  # three choices of each input
    shared = model.decoder.extract_features(y, model.encoder(x))
    copied = model.decoder.extract_features(y, model.encoder(x.repeat_interleave(3, dim=0)))
    close(shared, copied)


@BOTH
def test_packed_examples_compute_what_they_compute_alone(kind):
    model = build(**kind)
    x, y = tokens(13), tokens(9, seed=2)
    sources, targets = [slice(0, 6), slice(6, 13)], [slice(0, 4), slice(4, 9)]
    x_segments, y_segments = torch.zeros(1, 15).long(), torch.zeros(1, 10).long()
    for i in range(2):
        x_segments[:, sources[i]] = y_segments[:, targets[i]] = i + 1
    packed, _ = model(
        F.pad(x, (0, 2), value=PAD), None, F.pad(y, (0, 1), value=PAD),
        source_segments=x_segments, target_segments=y_segments,
    )  # fmt: skip
    for source, target in zip(sources, targets, strict=True):
        close(packed[:, target], model(x[:, source], None, y[:, target])[0])


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recomputed_activations_change_no_bit(kind, dtype):
    x, y = tokens(9, 4), tokens(3, 5, seed=2)
    gradients = []
    for recompute in (False, True):
        model = build(**kind, checkpoint_activations=recompute).to(dtype).train()
        torch.manual_seed(3)
        logits, _ = model(x, None, y)
        logits.float().logsumexp(-1).sum().backward()
        gradients.append([logits.detach(), *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert gradients[0][0].dtype == dtype


@BOTH
def test_autocast_computes_nearly_the_same(kind):
    model, x, y = build(**kind), tokens(9, 4), tokens(3, 5, seed=2)
    full, _ = model(x, None, y)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = model(x, None, y)
    torch.testing.assert_close(half.float(), full, rtol=0.1, atol=0.1 * float(full.std()))


def test_gradients_are_transformers():
    """A training step without dropout: every parameter's gradient, through the import's names."""
    transformers = pytest.importorskip("transformers")
    from fairseq_metro.interchange.hf_t5 import their_config
    from fairseq_metro.interchange.hf_t5_keys import to_theirs
    from fairseq_metro.vocabulary.hf_t5 import Rows

    changes = dict(activation="gated-gelu", dropout=0.0, attention_dropout=0.0)
    model, rows = build(**changes).train(), Rows(V, 0, 1, 2, 3)
    fields = dataclasses.asdict(config(**changes))
    vocabulary = SimpleNamespace(
        settings={"hugging_face": dataclasses.asdict(rows)},
        roles={"decoder_start": "<pad>"},
        indices={"<pad>": PAD},
    )
    theirs = their_config(SimpleNamespace(config=fields), vocabulary)
    reference = transformers.T5ForConditionalGeneration(transformers.T5Config(**theirs)).train()
    reference.load_state_dict(to_theirs(model.state_dict(), fields, rows), strict=False)
    x, y = tokens(9, 4), tokens(3, 5, seed=2)
    model(x, None, y)[0].logsumexp(-1).sum().backward()
    reference(input_ids=x, attention_mask=x.ne(PAD).long(), decoder_input_ids=y).logits.logsumexp(
        -1
    ).sum().backward()
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    ours["decoder.embed_tokens.weight"] = ours["encoder.embed_tokens.weight"]
    compared = to_theirs(ours, fields, rows)
    assert len(compared) > 40
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(compared[name], parameter.grad, rtol=1e-3, atol=1e-4)


def test_bos_without_a_logit_is_never_predicted():
    model = build(no_bos_logit=True)
    logits, _ = model(tokens(5), None, tokens(4, seed=2))
    assert (logits[..., 0] == NO_LOGIT).all() and logits.size(-1) == V
    close(logits[..., 1:], build()(tokens(5), None, tokens(4, seed=2))[0][..., 1:])


def test_dropout_is_off_in_evaluation_and_on_in_training():
    model, x, y = build(dropout=0.3), tokens(5), tokens(4, seed=2)
    assert torch.equal(model(x, None, y)[0], model(x, None, y)[0])
    model.train()
    assert not torch.equal(model(x, None, y)[0], model(x, None, y)[0])


def test_initial_logits_are_of_size_one():
    for kind in ({}, dict(activation="gated-gelu", untied_output=True)):
        cfg = HfT5Config(**{**ARCHITECTURES["tiny"], **kind})
        task = SimpleNamespace(source_dictionary=tiny.dictionary())
        logits, _ = HfT5Model.build_model(cfg, task).eval()(tokens(30), None, tokens(30))
        assert 0.2 < logits.std() < 5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_size_is_an_architecture_that_options_override(name):
    arch = f"hf_t5_{name}"
    assert ARCH_MODEL_REGISTRY[arch] is HfT5Model
    args = SimpleNamespace(ffn_dim=7)
    ARCH_CONFIG_REGISTRY[arch](args)
    assert args.ffn_dim == 7 and args.embed_dim == ARCHITECTURES[name]["embed_dim"]


@pytest.mark.parametrize(
    "name, millions", [("small", 60.5), ("large", 737.7), ("v1_1_base", 247.6)]
)
def test_sizes_are_the_published_ones(name, millions):
    class Words:
        pad, bos = (lambda self: 1), (lambda self: 0)

        def __len__(self):
            return 32128

    with torch.device("meta"):
        model = HfT5Model(HfT5Config(**ARCHITECTURES[name]), Words())
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.06)


def test_buckets_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="at least 4 buckets"):
        build(relative_position_buckets=2)
    with pytest.raises(UserError, match="a distance above half of them"):
        build(relative_position_max_distance=4)
