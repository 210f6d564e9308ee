"""An exported model as users of transformers handle it: masks, caches, training, new tokens."""

import json
import shutil

import pytest
import torch

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange import export_hf, hugging_face
from fairseq_metro.interchange.import_authors import import_authors
from fairseq_metro.interchange.model import read_model
from tests.interchange import authors, exports
from tests.interchange.conftest import SENTINELS
from tests.interchange.exports import modules_cache  # noqa: F401  a fixture
from tests.interchange.vocabulary import rows_of

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
fairseq_metro.register()


@pytest.fixture(scope="module")
def run(tmp_path_factory, vocabulary):
    """(a METRO-T5's run folder, its model)."""
    return exports.write_run(tmp_path_factory.mktemp("exported") / "run", vocabulary, "metro_t5")


@pytest.fixture(scope="module")
def folders(run, tmp_path_factory):
    """(the run exported, the same with the auxiliary model)."""
    folder = tmp_path_factory.mktemp("folders")
    export_hf.export_hf(run[0], folder / "main")
    export_hf.export_hf(run[0], folder / "whole", with_auxiliary=True)
    return folder / "main", folder / "whole"


@pytest.fixture
def model(folders, modules_cache):  # noqa: F811
    return load(folders[0])


def load(folder, auto="AutoModelForSeq2SeqLM", **options):
    found = getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True, **options)
    return found if options else found.eval()


@pytest.fixture(scope="module")
def batch(vocabulary):
    """Padded sources and targets."""
    sources, targets = exports.batch(vocabulary)
    return exports.padded(sources), exports.padded(targets)


@torch.no_grad()
def test_padding_is_hidden_whether_a_mask_says_so_or_not(model, batch):
    x, y = batch
    plain = model(input_ids=x, decoder_input_ids=y).logits
    told = model(input_ids=x, attention_mask=(x != 1).long(), decoder_input_ids=y).logits
    states = model.get_encoder()(x)
    later = model(encoder_outputs=states, attention_mask=x != 1, decoder_input_ids=y).logits
    assert torch.equal(plain, told) and torch.equal(plain, later)
    cut = model(input_ids=x[2:, :6], decoder_input_ids=y[2:]).logits
    torch.testing.assert_close(plain[2:], cut, rtol=0, atol=1e-5)  # the third source has 6 tokens


@torch.no_grad()
def test_a_mask_of_the_decoder_hides_a_token(model, batch):
    x, y = batch[0], torch.arange(15).reshape(3, 5) + 5
    other, seen = y.clone(), torch.ones_like(y)
    other[:, 2], seen[:, 2] = 4, 0
    kept = [0, 1, 3, 4]
    for mask, same in ((seen, True), (None, False)):
        one, two = (
            model(input_ids=x, decoder_input_ids=each, decoder_attention_mask=mask).logits[:, kept]
            for each in (y, other)
        )
        assert torch.allclose(one, two, atol=1e-5) is same
        assert torch.allclose(one[:, :2], two[:, :2], atol=1e-5)  # earlier ones never see it
    later = torch.cat([y[:, :4], y[:, 4:] + 9], 1)
    one, two = (
        model(input_ids=x, decoder_input_ids=each, decoder_attention_mask=seen).logits
        for each in (y, later)
    )
    assert torch.equal(one[:, :4], two[:, :4]) and not torch.equal(one[:, 4], two[:, 4])


@torch.no_grad()
def test_a_cache_goes_on_where_it_was(model, batch):
    x, y = batch
    whole = model(input_ids=x, decoder_input_ids=y, use_cache=False)
    assert whole.past_key_values is None
    first = model(input_ids=x, decoder_input_ids=y[:, :3])
    rest = model(
        encoder_outputs=(first.encoder_last_hidden_state,), attention_mask=x != 1,
        decoder_input_ids=y[:, 3:], past_key_values=first.past_key_values,
    )  # fmt: skip
    found = torch.cat([first.logits, rest.logits], 1)
    torch.testing.assert_close(found, whole.logits, rtol=0, atol=1e-5)
    assert model(input_ids=x, labels=y).past_key_values is None  # training needs none


@torch.no_grad()
def test_states_of_every_layer_and_tuples(model, batch):
    x, y = batch
    out = model(input_ids=x, decoder_input_ids=y, output_hidden_states=True)
    states = out.encoder_hidden_states
    assert len(states) == 1 + len(model.encoder.layers)
    assert torch.equal(states[-1], out.encoder_last_hidden_state)
    again = model.encoder.layers[-1](
        states[-2],
        model.encoder.relative_positions[-1]
        .weight[model.encoder.buckets(x.size(1), "cpu")]
        .permute(2, 0, 1)
        .masked_fill((x == 1)[:, None, None], -1e9),
    )
    torch.testing.assert_close(again[x != 1], states[-1][x != 1], rtol=0, atol=1e-5)
    first = model(input_ids=x, decoder_input_ids=y, return_dict=False)
    assert isinstance(first, tuple) and torch.equal(first[0], out.logits)
    assert isinstance(model.get_encoder()(x, return_dict=False), tuple)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_and_its_loss_is_float32(model, batch, dtype):
    x, y = batch
    labels = y.masked_fill(y == 1, -100)
    expected = model(input_ids=x, labels=labels)
    found = model.to(dtype)(input_ids=x, labels=labels)
    assert found.logits.dtype == dtype and found.loss.dtype == torch.float32
    assert float(found.loss) == pytest.approx(float(expected.loss), rel=0.03)


def test_dropout_is_where_it_is_in_our_model_and_only_in_training(folders, modules_cache, batch):  # noqa: F811
    config = transformers.AutoConfig.from_pretrained(folders[0], trust_remote_code=True)
    config.dropout, config.attention_dropout = 0.25, 0.5
    model = load(folders[0], config=config)
    layers = __import__(type(model.encoder.layers[0]).__module__, fromlist=["F"])
    stock, asked = layers.F.scaled_dot_product_attention, []

    def attention(*args, **kwargs):
        asked.append(kwargs["dropout_p"])
        return stock(*args, **kwargs)

    layers.F.scaled_dot_product_attention = attention
    try:
        x, y = batch
        count = len(model.encoder.layers) + 2 * len(model.decoder.layers)
        for training, expected in ((True, 0.5), (False, 0.0)):
            asked.clear()
            model.train(training)(input_ids=x, labels=y)
            assert asked == [expected] * count
    finally:
        layers.F.scaled_dot_product_attention = stock
    places = [module for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert {module.p for module in places} == {0.25}
    assert len(places) == 2 + len(model.encoder.layers) + len(model.decoder.layers)


def test_it_trains(model, batch):
    x, y = batch
    labels = y.masked_fill(y == 1, -100)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.train().parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = model(input_ids=x, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert all(p.grad is not None for p in model.parameters())
    assert losses[-1] < 0.8 * losses[0]


def test_a_new_model_has_the_initial_weights_of_the_configuration(folders, modules_cache):  # noqa: F811
    config = transformers.AutoConfig.from_pretrained(folders[0], trust_remote_code=True)
    config.initializer_range = 0.5
    torch.manual_seed(0)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config, trust_remote_code=True)
    for name, value in model.named_parameters():
        if "layer_norm" in name:
            assert torch.equal(value, torch.full_like(value, name.endswith("weight")))
        elif name.endswith("bias") or "relative" in name:
            assert not value.any(), name
        else:
            assert float(value.std()) == pytest.approx(0.5, rel=0.15), name


@torch.no_grad()
def test_new_tokens_widen_the_one_table(model, batch):
    x, y = batch
    before = model(input_ids=x, decoder_input_ids=y).logits
    rows = before.size(-1)
    model.resize_token_embeddings(rows + 3)
    after = model(input_ids=x, decoder_input_ids=y).logits
    assert after.size(-1) == rows + 3 and model.config.vocab_size == rows + 3
    torch.testing.assert_close(after[..., :rows], before, rtol=0, atol=1e-6)
    model.set_input_embeddings(torch.nn.Embedding(rows, 16))
    assert model.get_input_embeddings() is model.encoder.embed_tokens
    assert not torch.allclose(model(input_ids=x, decoder_input_ids=y).logits, before, atol=0.1)


@pytest.mark.parametrize("share", ["token", "token_pos", "token_pos_norm"])
def test_no_parameter_is_missing_or_left_over(tmp_path, vocabulary, modules_cache, share):  # noqa: F811
    """With whatever tables shared: once in the file, one parameter in the model."""
    run, ours = exports.write_run(
        tmp_path / "run", vocabulary, "metro_t5", share_auxiliary=share, mlm_head="transform"
    )
    export_hf.export_hf(run, tmp_path / "hf", with_auxiliary=True)
    for auto in ("AutoModelForSeq2SeqLM", "AutoModelForPreTraining"):
        found, said = load(tmp_path / "hf", auto, output_loading_info=True)
        assert not any(said[key] for key in ("missing_keys", "unexpected_keys"))
    assert sum(p.numel() for p in found.parameters()) == sum(p.numel() for p in ours.parameters())
    found.save_pretrained(tmp_path / "saved")
    for key, value in load(tmp_path / "saved", "AutoModelForPreTraining").state_dict().items():
        assert torch.equal(value, found.state_dict()[key]), key


def test_generation_and_tokenizer_know_the_models_limits(folders, model):
    assert model.config.num_hidden_layers == len(model.decoder.layers) == 2  # of a cache
    settings = model.generation_config
    assert (settings.max_new_tokens, settings.suppress_tokens) == (40, [1])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[0], trust_remote_code=True)
    long = tokenizer(" ".join(["river"] * 200), truncation=True, return_tensors="pt")
    ids = long["input_ids"]
    assert ids.shape == (1, 40) and ids[0, -1] == 2 and tokenizer.model_max_length == 40
    model.generation_config.eos_token_id = None  # however long
    assert model.generate(**long).shape == (1, 41)


def test_generation_has_fairseqs_length_where_there_is_room(tmp_path):
    config = {"pad_token_id": 1, "max_positions": 512}
    for held in (config, {"pad_token_id": 1}):
        export_hf.write_generation(tmp_path, held)
        written = json.loads((tmp_path / "generation_config.json").read_text())
        assert written == {"pad_token_id": 1, "max_new_tokens": 200, "suppress_tokens": [1]}


def test_another_start_of_the_decoder_goes_along(tmp_path, vocabulary, modules_cache):  # noqa: F811
    mask = vocabulary.roles["mask"]
    run, _ = exports.write_run(tmp_path / "run", vocabulary, "t5_transformer", decoder_start=mask)
    export_hf.export_hf(run, tmp_path / "hf")
    found = load(tmp_path / "hf")
    assert found.config.decoder_start_token_id == vocabulary.indices[mask]
    y = torch.tensor([[5, 6, 2]])
    previous = found.prepare_decoder_input_ids_from_labels(y)
    assert previous.tolist() == [[vocabulary.indices[mask], 5, 6]]
    assert read_model(tmp_path / "hf").config["decoder_start"] == mask
    assert fairseq_metro.load(tmp_path / "hf", "cpu").decoder_start == vocabulary.indices[mask]


def test_a_t5_generates_what_ours_does(tmp_path, vocabulary, modules_cache):  # noqa: F811
    """From the same start, which is not T5's <pad> here."""
    run, _ = exports.write_run(tmp_path / "run", vocabulary, "hf_t5", decoder_layers=2)
    export_hf.export_hf(run, tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf", trust_remote_code=True)
    texts = ["the old river carries stone", "winter house", "Bright"]
    ids = load(tmp_path / "hf").generate(**tokenizer(texts, return_tensors="pt", padding=True))
    found = tokenizer.batch_decode(ids[:, :10], skip_special_tokens=True)
    expected = fairseq_metro.load(run, "cpu").generate(texts, beam=1, max_len_b=9)
    assert [text.split() for text in found] == [text.split() for text in expected]


# What comes back


def test_the_auxiliary_options_come_back(tmp_path, vocabulary):
    changes = dict(rtd_on="decoder", auxiliary_embed_dim=8, clm_head="projection")
    run, _ = exports.write_run(tmp_path / "run", vocabulary, "metro_t5", **changes)
    export_hf.export_hf(run, tmp_path / "hf", with_auxiliary=True)
    config = read_model(tmp_path / "hf").config
    assert {key: config[key] for key in changes} == changes
    main = read_model(tmp_path / "hf", main_only=True)
    assert main.name == "t5_transformer" and not any("aux" in key for key in main.state)


def rewritten(folders, path, change):
    """A copy of the exported folder whose weights went through ``change``."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders[0], path)
    save_file(change(load_file(path / "model.safetensors")), path / "model.safetensors")
    return path


def test_half_precision_weights_come_back_as_float32(folders, tmp_path):
    folder = rewritten(
        folders, tmp_path / "half", lambda state: {k: v.bfloat16() for k, v in state.items()}
    )
    assert {value.dtype for value in read_model(folder).state.values()} == {torch.float32}


def test_a_folder_without_its_tokens_is_one_line(folders, tmp_path):
    def without(state):
        return {key: value for key, value in state.items() if "embed_tokens" not in key}

    with pytest.raises(UserError, match=r"no parameter encoder.embed_tokens.weight in it; export"):
        read_model(rewritten(folders, tmp_path / "less", without))


def test_a_folder_without_its_vocabulary_names_the_remedy(folders, tmp_path):
    shutil.copytree(folders[0], tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "vocab")
    with pytest.raises(UserError, match="give their folder with --vocab"):
        import_authors(tmp_path / "bare", tmp_path / "run")


def test_a_run_with_its_vocabulary_above_the_checkpoints(run, tmp_path, folders):
    """As the quickstarts' folders are."""
    (tmp_path / "mine" / "checkpoints").mkdir(parents=True)
    shutil.copy(run[0] / "checkpoint_last.pt", tmp_path / "mine" / "checkpoints")
    shutil.copytree(run[0] / "vocab", tmp_path / "mine" / "vocab")
    export_hf.export_hf(tmp_path / "mine", tmp_path / "hf")
    assert exports.files(tmp_path / "hf") == exports.files(folders[0])


def test_without_safetensors_nothing_is_begun(run, tmp_path, monkeypatch):
    monkeypatch.setattr(hugging_face, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package safetensors; install it"):
        export_hf.export_hf(run[0], tmp_path / "hf")
    assert not list(tmp_path.iterdir())


def test_the_authors_release_is_known_by_its_class(tmp_path, theirs, modules_cache):  # noqa: F811
    """Its config.json names transformers' T5 as the type."""
    rows = rows_of(theirs, SENTINELS)
    state = authors.training_state(generator=0, rtd_head="", rows=rows)
    folder = authors.write_release(
        tmp_path / "release", state, model_type="t5",
        architectures=["FairseqT5ForConditionalGeneration"],
    )  # fmt: skip
    for name in ("sp.model", "dict.txt"):
        shutil.copy(theirs / name, folder)
    export_hf.export_hf(folder, tmp_path / "hf")
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["model_type"] == (
        "fairseq_metro"
    )
