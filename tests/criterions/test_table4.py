"""Table 4's variants and the release's losses, each against a float64 loop."""

import math

import pytest
import torch

from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.models.metro_t5 import MetroOutput
from fairseq_metro.modules.heads import Logits, copy_mixture
from tests import tiny
from tests.criterions.test_metro_t5 import FakeModel, V, case, logged


def criterion(recipe="paper", weighted="recipe"):
    return MetroT5Criterion(tiny.task(recipe), 50.0, 1.0, weighted)


def nll(logits, token):
    weights = [math.exp(x) for x in logits.tolist()]
    return -math.log(weights[token] / sum(weights))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def rows_of(sample, index):
    """(token, row in the batch, column) of each flat index."""
    width = sample["target"].size(1)
    for flat in index.tolist():
        b, t = divmod(flat, width)
        yield int(sample["target"][b, t]), b, t


def clm_of(out, sample, **options):
    return float(criterion(**options).clm(out, sample)[0])


def test_weighted_lm_loss_multiplies_each_row_by_the_probability_of_replaced():
    sample, out = case()
    expected = 0.0
    rows = rows_of(sample, sample["net_input"]["masked_index"])
    for row, (token, b, t) in enumerate(rows):
        expected += sigmoid(float(out.rtd_logits[b, t])) * nll(out.clm_logits[row], token)
    assert clm_of(out, sample, weighted="yes") == pytest.approx(expected, rel=1e-5)
    assert clm_of(out, sample, recipe="release") == pytest.approx(expected, rel=1e-5)
    assert clm_of(out, sample) != pytest.approx(expected, rel=1e-2)


def test_weights_of_the_lm_loss_teach_the_rtd_head_nothing():
    sample, out = case()
    out.rtd_logits.requires_grad_()
    out.clm_logits.requires_grad_()
    criterion(weighted="yes").clm(out, sample)[0].backward()
    assert out.rtd_logits.grad is None


def test_copy_mechanism_mixes_the_encoders_token_with_the_softmax():
    sample, out = case()
    clm_logits, expected, correct = out.clm_logits, 0.0, 0
    out = tiny.output(
        sample, out.mlm_logits, out.src_noise, out.rtd_logits, clm_logits, copies=True
    )
    rows = rows_of(sample, sample["net_input"]["masked_index"])
    for row, (token, b, t) in enumerate(rows):
        original = sigmoid(-float(out.rtd_logits[b, t]))
        noise = int(out.src_noise[b, t])
        p = [(1 - original) * math.exp(-nll(clm_logits[row], v)) for v in range(V)]
        p[noise] += original
        assert sum(p) == pytest.approx(1)
        expected -= math.log(p[token])
        correct += max(range(V), key=p.__getitem__) == token
    found = criterion().clm(out, sample)
    assert float(found.loss) == pytest.approx(expected, rel=1e-5)
    assert int(found.correct.sum()) == correct


def test_copy_mixture_is_stable_where_the_head_is_sure():
    logits, noise = torch.randn(2, 5), torch.tensor([1, 2])
    log_p = copy_mixture(logits, noise, torch.tensor([80.0, -80.0]))
    assert torch.isfinite(log_p).all()
    torch.testing.assert_close(log_p[0], torch.log_softmax(logits[0], -1))
    assert -1e-30 < log_p[1, 2] <= 0


def test_clm_on_all_positions_is_a_mean_over_real_tokens():
    sample = tiny.batch(clm_positions="all")
    _, out = case()
    index = sample["net_input"]["clm_index"]
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(len(index), V, generator=generator, dtype=torch.float64)
    out = out._replace(clm=Logits(logits))
    expected = sum(
        nll(logits[row], token) for row, (token, _, _) in enumerate(rows_of(sample, index))
    )
    assert len(index) == sample["ntokens"]
    all_losses, _, logs = criterion()(FakeModel(out), sample)
    assert float(logs["clm_loss"]) == pytest.approx(expected, rel=1e-5)
    share = sample["masked_share"]
    rest = float(logs["mlm_loss"] + 50 * share * logs["rtd_loss"])
    assert float(all_losses) == pytest.approx(rest + share * expected, rel=1e-5)
    assert logged([logs])["clm_loss"] == pytest.approx(expected / len(index), rel=1e-5)


def test_accuracies_of_clm_on_all_positions_are_those_of_the_masked_ones():
    sample, plain = tiny.batch(clm_positions="all"), tiny.batch()
    model = tiny.model()
    ours, expected = (logged([criterion()(model, batch)[2]]) for batch in (sample, plain))
    for name in ("clm_accuracy_replaced", "clm_accuracy_unreplaced", "mlm_loss", "rtd_loss"):
        assert ours.get(name) == expected.get(name), name
    assert ours["clm_loss"] != expected["clm_loss"]


def test_the_release_divides_rtd_by_the_tokens_of_the_batch():
    sample, out = case()
    loss, masked, logs = criterion("release", weighted="no")(FakeModel(out), sample)
    mean_rtd = float(logs["rtd_loss"]) / sample["ntokens"]
    expected = float(logs["mlm_loss"] + logs["clm_loss"]) / masked + 50 * mean_rtd
    assert float(loss) / masked == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("head", ["linear", "projection"])
def test_rtd_on_the_decoder_reads_the_decoders_states(head):
    model, sample = tiny.model(rtd_on="decoder", clm_head=head), tiny.batch()
    with torch.no_grad():
        out = model(**sample["net_input"])
        encoder_out = model.encoder(out.src_noise)
        states = model.decoder.extract_features(
            sample["net_input"]["prev_output_tokens"], encoder_out
        )
        torch.testing.assert_close(out.rtd_logits, model.rtd_head(states))
        assert not torch.allclose(out.rtd_logits, model.rtd_head(encoder_out["encoder_out"][0]))


def test_the_projection_stands_before_the_tied_matrix():
    model, sample = tiny.model(clm_head="projection"), tiny.batch()
    net_input = sample["net_input"]
    with torch.no_grad():
        out = model(**net_input)
        h = model.decoder.extract_features(
            net_input["prev_output_tokens"], model.encoder(out.src_noise)
        ).flatten(0, 1)[net_input["masked_index"]]
        head = model.clm_head
        h = torch.relu(h @ head.dense.weight.T + head.dense.bias)
        h = torch.nn.functional.layer_norm(h, (16,), head.layer_norm.weight, head.layer_norm.bias)
        expected = h @ model.encoder.embed_tokens.weight.T
    torch.testing.assert_close(out.clm_logits, expected, rtol=1e-4, atol=1e-5)


def test_the_releases_mlm_head_has_a_transform_and_a_bias():
    model, sample = tiny.model(mlm_head="transform"), tiny.batch()
    net_input = sample["net_input"]
    with torch.no_grad():
        out = model(**net_input)
        h = model.auxiliary(net_input["src_tokens"])["encoder_out"][0]
        h = h.flatten(0, 1)[net_input["masked_index"]]
        head = model.mlm_head
        h = torch.relu(h @ head.dense.weight.T + head.dense.bias)
        h = torch.nn.functional.layer_norm(h, (16,), head.layer_norm.weight, head.layer_norm.bias)
        expected = h @ model.encoder.embed_tokens.weight.T + head.bias
    assert head.bias.abs().sum() > 0
    torch.testing.assert_close(out.mlm_logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"auxiliary_embed_dim": 8},
        {"auxiliary_embed_dim": 8, "mlm_head": "transform"},
        {"share_auxiliary": "token_pos_norm"},
        {"rtd_head": "simple"},
        {"copy_mechanism": True, "rtd_on": "decoder", "clm_head": "projection"},
        {"auxiliary_temperature": 0.5},
    ],
)
def test_every_variant_trains_all_of_its_parameters(changes):
    model = tiny.model(**changes).train()
    sample = tiny.batch()
    loss, _, _ = criterion()(model, sample)
    loss.backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []
    assert isinstance(model(**sample["net_input"]), MetroOutput)


def test_sharing_follows_the_option():
    alone, shared = tiny.model(), tiny.model(share_auxiliary="token_pos_norm")
    names = {name for name, _ in shared.named_parameters()}
    missing = {name for name, _ in alone.named_parameters()} - names
    assert missing == {
        "auxiliary.embedding.positions.weight",
        "auxiliary.embedding.layer_norm.weight",
        "auxiliary.embedding.layer_norm.bias",
    }


def test_auxiliary_dropout_is_its_own():
    model = tiny.model(auxiliary_dropout=0.0, dropout=0.5, attention_dropout=0.5).train()
    src = torch.randint(4, 30, (2, 9))
    a, b = (model.auxiliary(src)["encoder_out"][0] for _ in range(2))
    assert torch.equal(a, b)
    c, d = (model.encoder(src)["encoder_out"][0] for _ in range(2))
    assert not torch.equal(c, d)


def test_temperature_sharpens_the_samples():
    data = tiny.dataset(lines=60)
    sample = data.collater([data[i] for i in range(len(data))])
    masked = sample["net_input"]["masked_index"]

    def hits(temperature):
        model = tiny.model(auxiliary_temperature=temperature)
        with torch.no_grad():
            out = model(**sample["net_input"])
        likeliest = out.mlm_logits.argmax(-1)
        return (out.src_noise.flatten()[masked] == likeliest).double().mean()

    assert hits(0.2) > hits(1.0) > hits(5.0)
