import copy

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.randomness import uniforms
from fairseq_metro.models.metro_t5 import MetroT5Model
from fairseq_metro.modules.heads import Logits
from tests import tiny


def pretraining_pass(model, sample):
    with torch.no_grad():
        return model(**sample["net_input"])


def test_all_three_vocabulary_matrices_are_one_tensor():
    model = tiny.model()
    pointers = {
        module.embed_tokens.weight.data_ptr()
        for module in (model.encoder, model.decoder, model.auxiliary)
    }
    assert len(pointers) == 1
    names = [name for name, _ in model.named_parameters() if "embed_tokens" in name]
    assert names == ["encoder.embed_tokens.weight"]


def test_output_layers_use_the_shared_matrix():
    model, sample = tiny.model(), tiny.batch()
    before = pretraining_pass(model, sample)
    with torch.no_grad():
        # The pad symbol is in no full input below, so only the output layers see this change.
        model.encoder.embed_tokens.weight[tiny.dictionary().index("<sen002>")] += 1.0
    after = pretraining_pass(model, sample)
    column = tiny.dictionary().index("<sen002>")
    assert not torch.allclose(before.mlm_logits[:, column], after.mlm_logits[:, column])
    rest = [i for i in range(before.mlm_logits.size(1)) if i != column]
    torch.testing.assert_close(before.mlm_logits[:, rest], after.mlm_logits[:, rest])


def test_the_encoder_reads_the_samples_and_the_rest_of_the_original():
    model, sample = tiny.model(), tiny.batch()
    out = pretraining_pass(model, sample)
    masked = torch.zeros_like(sample["target"]).flatten().bool()
    masked[sample["net_input"]["masked_index"]] = True
    masked = masked.view_as(sample["target"])
    assert (out.src_noise[~masked] == sample["target"][~masked]).all()
    assert (out.src_noise[masked] != tiny.dictionary().index("<mask>")).any()


def test_each_row_of_logits_belongs_to_its_masked_position():
    """Logits at the selected rows equal those of a full projection, looked up one by one."""
    model, sample = tiny.model(), tiny.batch()
    out = pretraining_pass(model, sample)
    net_input, table = sample["net_input"], model.encoder.embed_tokens.weight
    with torch.no_grad():
        h_aux = model.auxiliary(net_input["src_tokens"])["encoder_out"][0]
        encoder_out = model.encoder(out.src_noise)
        all_clm, _ = model.decoder(net_input["prev_output_tokens"], encoder_out)
    width = net_input["src_tokens"].size(1)
    for row, flat in enumerate(net_input["masked_index"].tolist()):
        b, t = divmod(flat, width)
        torch.testing.assert_close(out.mlm_logits[row], table @ h_aux[b, t], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(out.clm_logits[row], all_clm[b, t], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rtd_on", ["encoder", "decoder"])
def test_last_layers_skip_positions_without_loss_and_gradients_stay(rtd_on):
    sample, found, computed = tiny.batch(), [], []
    built = tiny.model(rtd_on=rtd_on)
    for skips in (True, False):
        model = copy.deepcopy(built)
        model.skips_positions = skips
        for stack in (model.auxiliary, model.decoder):
            stack.layers[-1].ffn.register_forward_hook(
                lambda module, inputs, out: computed.append(tuple(out.shape[:-1]))
            )
        out = model(**sample["net_input"])
        loss = out.rtd_logits.square().sum() + out.clm_logits.logsumexp(-1).sum()
        (loss + out.mlm_logits.logsumexp(-1).sum()).backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    everything = tuple(sample["target"].shape)
    masked = (len(sample["net_input"]["masked_index"]),)
    decoder = masked if rtd_on == "encoder" else everything
    assert computed == [masked, decoder, everything, everything]
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[1].items():
        torch.testing.assert_close(found[0][name], gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_padding_changes_nothing():
    model, data = tiny.model(), tiny.dataset(pad_to_multiple=1)
    short, long = sorted((data[i] for i in range(6)), key=lambda s: len(s["target"]))[::5]
    assert len(short["target"]) < len(long["target"])
    alone = pretraining_pass(model, data.collater([short]))
    padded = pretraining_pass(model, data.collater([short, long]))
    length, masked = len(short["target"]), len(short["masked"])
    assert torch.equal(alone.src_noise[0], padded.src_noise[0, :length])
    for name in ("mlm_logits", "clm_logits"):
        ours, theirs = getattr(alone, name), getattr(padded, name)[:masked]
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        alone.rtd_logits[0], padded.rtd_logits[0, :length], rtol=1e-4, atol=1e-5
    )


class DrawsPadding(torch.nn.Module):
    """A head that gives every second masked token the padding symbol, the others their own logits."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def unprojected(self, rows, table):
        logits = self.head(rows, table).clone()
        logits[::2, tiny.dictionary().pad()] = 1e4
        return Logits(logits)


def test_padding_drawn_as_a_replacement_is_a_token_whatever_the_batch():
    """The same block gives the same alone and in a padded batch: padding is where the original is."""
    model, data = tiny.model(), tiny.dataset(pad_to_multiple=1)
    model.mlm_head = DrawsPadding(model.mlm_head)
    short, *longer = sorted((data[i] for i in range(len(data))), key=lambda s: len(s["target"]))[
        5:9
    ]
    alone, together = data.collater([short]), data.collater([short, *longer])
    assert not alone["net_input"]["padded"] and together["net_input"]["padded"]
    one, many = pretraining_pass(model, alone), pretraining_pass(model, together)
    length, masked = len(short["target"]), len(short["masked"])
    pad = tiny.dictionary().pad()
    assert (one.src_noise == pad).any() and (many.src_noise[0, :length] == one.src_noise[0]).all()
    torch.testing.assert_close(one.rtd_logits[0], many.rtd_logits[0, :length])
    torch.testing.assert_close(one.clm_logits, many.clm_logits[:masked])


def test_the_sampled_replacements_depend_on_the_place_and_not_on_the_batch():
    model, data = tiny.model(), tiny.dataset()
    together = pretraining_pass(model, data.collater([data[i] for i in range(4)]))
    for i in range(4):
        alone = pretraining_pass(model, data.collater([data[i]]))
        length = data.sizes[i]
        assert torch.equal(alone.src_noise[0, :length], together.src_noise[i, :length])


def test_rtd_starts_at_one_half():
    model = MetroT5Model.build_model(tiny.config(), tiny.task()).eval()
    out = pretraining_pass(model, tiny.batch())
    assert (out.rtd_logits == 0).all()


def test_incremental_decoding_equals_full_decoding():
    model = tiny.t5()
    src = torch.randint(4, 30, (2, 9))
    src[1, 6:] = 1
    prev = torch.randint(4, 30, (2, 7))
    with torch.no_grad():
        encoder_out = model.encoder(src)
        full, _ = model.decoder(prev, encoder_out)
        state = {}
        for step in range(7):
            logits, _ = model.decoder(prev[:, : step + 1], encoder_out, incremental_state=state)
            torch.testing.assert_close(logits[:, -1], full[:, step], rtol=1e-4, atol=1e-5)


def test_incremental_state_follows_a_reordering_of_the_beams():
    model = tiny.t5()
    src, prev = torch.randint(4, 30, (3, 5)), torch.randint(4, 30, (3, 4))
    order = torch.tensor([2, 0, 0])
    with torch.no_grad():
        encoder_out = model.encoder(src)
        state = {}
        model.decoder(prev[:, :3], encoder_out, incremental_state=state)
        model.decoder.reorder_incremental_state_scripting(state, order)
        encoder_out = model.encoder.reorder_encoder_out(encoder_out, order)
        step, _ = model.decoder(prev[order], encoder_out, incremental_state=state)
        full, _ = model.decoder(prev[order], model.encoder(src[order]))
    torch.testing.assert_close(step[:, -1], full[:, -1], rtol=1e-4, atol=1e-5)


def test_fairseqs_generator_finds_the_greedy_output_of_full_decoding():
    model, words = tiny.t5(), tiny.dictionary()
    src = torch.randint(4, 30, (2, 8))
    generator = SequenceGenerator([model], words, beam_size=1, max_len_a=0, max_len_b=6)
    sample = {"net_input": {"src_tokens": src, "src_lengths": torch.tensor([8, 8])}}
    hypotheses = generator.generate([model], sample)
    with torch.no_grad():
        for row, hypothesis in enumerate(hypotheses):
            prev = [words.eos()]  # the decoder starts with </s> in inference
            for token in hypothesis[0]["tokens"].tolist()[:-1]:
                logits, _ = model(src[row : row + 1], None, torch.tensor([prev]))
                step = logits[0, -1].clone()
                step[[words.pad(), words.bos()]] = -1e9
                best = int(step.argmax())
                assert token == best or (len(prev) == 1 and best == words.eos())
                prev.append(token)


def test_the_decoder_cannot_see_later_tokens():
    model = tiny.t5()
    src, prev = torch.randint(4, 30, (1, 5)), torch.randint(4, 30, (1, 6))
    changed = prev.clone()
    changed[0, 4:] += 1
    with torch.no_grad():
        a, b = (model(src, None, tokens)[0] for tokens in (prev, changed))
    assert torch.equal(a[0, :4], b[0, :4]) and not torch.allclose(a[0, 4:], b[0, 4:])


def test_the_main_model_alone_loads_a_metro_checkpoint():
    metro, alone = tiny.model(), tiny.t5()
    with torch.no_grad():
        for parameter in alone.parameters():
            parameter.zero_()
    alone.load_state_dict(metro.state_dict())
    src, prev = torch.randint(4, 30, (2, 5)), torch.randint(4, 30, (2, 6))
    with torch.no_grad():
        assert torch.equal(alone(src, None, prev)[0], metro(src, None, prev)[0])


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"encoder_layers": 3}, "encoder.layers.2"),
        ({"embed_dim": 8}, r"is \(37, 16\) in it, \(37, 8\) here"),
        ({"encoder_layers": 1}, "which this model lacks"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_one_line(changes, problem):
    with pytest.raises(UserError, match=problem):
        tiny.model(**changes).load_state_dict(tiny.model().state_dict())


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_heads": 3},
        {"relative_position_buckets": 2},
        {"relative_position_max_distance": 3},
    ],
)
def test_impossible_sizes_are_refused(changes):
    with pytest.raises(UserError):
        tiny.model(**changes)


def test_uniforms_reach_the_model_at_full_precision():
    data = tiny.dataset()
    sample = data.collater([data[0]])
    expected = uniforms(data.seed, 1, 0, data[0]["masked"])
    assert sample["net_input"]["uniform"].tolist() == expected.tolist()
