"""The authors' Hugging Face folders give our model the same logits, and ours become such folders."""

import builtins
import json
import logging

import pytest
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange import export_authors
from fairseq_metro.interchange.import_authors import import_authors
from fairseq_metro.interchange.model import read_model
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.interchange import authors, ours, reference_model
from tests.interchange.conftest import SENTINELS
from tests.interchange.vocabulary import rows_of


def main_state(**changes):
    return authors.training_state(**{"generator": 0, "rtd_head": "", **changes})


def compared(model, named, length=18, distance=authors.DISTANCE, reach=None):
    tokens, previous = authors.batch(len(named["shared.weight"]), length)
    named = {key: value.float() for key, value in named.items()}
    expected = ours.expected(named, tokens, previous, reference_model.HUGGING_FACE, distance, reach)
    ours.assert_same(ours.outputs(ours.load(model), tokens, previous), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("positions", [5, 20])
def test_a_release_gives_the_same_logits(tmp_path, positions, dtype):
    state = main_state(positions=positions)
    model = read_model(authors.write_release(tmp_path / "hf", state, dtype))
    assert model.name == "t5_transformer"
    compared(model, authors.hugging_face_state(state, dtype), length=positions)


@pytest.mark.parametrize("reach", [4, 5, 8, 20, 512, 1024, 2048])
def test_their_class_has_1024_positions_and_numbers_buckets_by_max_positions(tmp_path, reach):
    """A sequence longer than ``max_positions`` cannot be read there, so ours has no more either."""
    state = main_state(positions=1024)
    folder = authors.write_release(tmp_path / "hf", state, max_positions=reach)
    model = read_model(folder)
    assert model.config["max_positions"] == min(reach, 1024)
    length = min(reach, 18)
    compared(model, authors.hugging_face_state(state), length=length, reach=reach)
    cut = read_model(folder, max_positions=4)
    assert cut.config["max_positions"] == 4
    with pytest.raises(UserError, match=f"must be 1 to {min(reach, 1024)}"):
        read_model(folder, max_positions=reach + 2000)


def test_safetensors_without_the_tied_tables(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    folder, state = authors.write_release(tmp_path / "hf"), authors.hugging_face_state(main_state())
    (folder / "pytorch_model.bin").unlink()
    tied = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    once = {key: value for key, value in state.items() if key not in tied}
    safetensors.save_file(once, folder / "model.safetensors")
    compared(read_model(folder), state)


def test_without_the_package_safetensors_the_remedy_is_named(tmp_path, monkeypatch):
    folder = authors.write_release(tmp_path / "hf")
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    stock = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("safetensors"):
            raise ImportError(name)
        return stock(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match="needs the package safetensors; install it"):
        read_model(folder)


@pytest.mark.parametrize("listed", [{"a": "../other.bin"}, {"a": "/x/other.bin"}, ["other.bin"]])
def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path, listed):
    folder = authors.write_release(tmp_path / "hf")
    (folder / "pytorch_model.bin").rename(tmp_path / "other.bin")
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": listed}))
    with pytest.raises(UserError, match=r"pytorch_model.bin.index.json: not an index of weights"):
        read_model(folder)


@pytest.mark.parametrize("buckets, distance", [(32, 128), (128, 256)])
def test_a_distance_that_is_not_written_is_the_one_they_trained_with(
    tmp_path, monkeypatch, caplog, buckets, distance
):
    monkeypatch.setattr(authors, "BUCKETS", buckets)
    changes = {"relative_attention_max_distance": None, "relative_attention_num_buckets": buckets}
    folder = authors.write_release(tmp_path / "hf", main_state(), **changes)
    with caplog.at_level(logging.WARNING):
        model = read_model(folder)
    assert model.config["relative_position_max_distance"] == distance
    assert ("256 is taken" in caplog.text) == (distance == 256)
    other = read_model(folder, given={"max_distance": 100})
    assert other.config["relative_position_max_distance"] == 100


@pytest.mark.parametrize(
    "changes, said",
    [
        (dict(relative_attention_max_distance=None), "give --max-distance"),
        (dict(num_heads=4), "4 attention heads, but its relative tables have 2"),
        (dict(feed_forward_proj="gated-gelu"), "feed_forward_proj is 'gated-gelu'"),
        (dict(layer_norm_epsilon=1e-6), "layer_norm_epsilon is 1e-06, but our model has 1e-05"),
        (dict(vocab_size=64518), "vocab_size is 64518, but our model has 26"),
        (dict(max_positions=0), "max_positions is 0, must be a whole number from 1 up"),
        (dict(max_positions="512"), "max_positions is '512', must be a whole number from 1 up"),
        (dict(tie_word_embeddings=False), "tie_word_embeddings is False"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(tmp_path, changes, said):
    folder = authors.write_release(tmp_path / "hf", **changes)
    with pytest.raises(UserError, match=said) as error:
        read_model(folder)
    assert str(error.value).startswith(f"{folder}: ")


def test_a_stock_t5_is_refused(tmp_path):
    folder = authors.write_release(tmp_path / "hf")
    named = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save(
        {**named, "encoder.final_layer_norm.weight": torch.ones(8)}, folder / "pytorch_model.bin"
    )
    with pytest.raises(UserError, match=r"encoder.final_layer_norm.weight is none of the authors'"):
        read_model(folder)


def test_two_tables_under_two_names_are_refused(tmp_path):
    folder = authors.write_release(tmp_path / "hf")
    named = torch.load(folder / "pytorch_model.bin", weights_only=True)
    for name in ("shared.weight", "lm_head.weight"):
        torch.save({**named, name: named[name] + 1}, folder / "pytorch_model.bin")
        with pytest.raises(UserError, match=r"differ"):
            read_model(folder)


# Export


@pytest.fixture(scope="module")
def run(tmp_path_factory, theirs):
    """A run's folder of ours, imported from a pretrained model of theirs; and that one's state."""
    folder = tmp_path_factory.mktemp("export")
    state = authors.training_state(rows=rows_of(theirs, SENTINELS))
    path = authors.write_checkpoint(folder / "theirs.pt", state)
    import_authors(path, folder / "run", vocab=theirs)
    return folder / "run", state


@pytest.mark.parametrize("fp32", [True, False])
def test_an_exported_folder_gives_the_same_logits(run, tmp_path, fp32):
    words = [str(run[0]), "--out", str(tmp_path / "hf"), *(["--fp32"] if fp32 else [])]
    assert export_authors.main(words) == 0
    named = torch.load(tmp_path / "hf" / "pytorch_model.bin", weights_only=True)
    main = {k: v for k, v in run[1].items() if not k.startswith(("generator.", "rtd_"))}
    expected = authors.hugging_face_state(main, torch.float32 if fp32 else torch.float16)
    assert named.keys() == expected.keys()
    for key, value in expected.items():
        value = value.clone()
        if key.endswith("pos_embed.weight"):  # of as many rows as their class has
            value[:2] = 0
            value = torch.cat([value, value.new_zeros(1026 - len(value), value.size(1))])
        assert value.dtype == named[key].dtype and torch.equal(named[key], value), key
    compared(read_model(tmp_path / "hf"), named, reach=authors.POSITIONS)


@pytest.mark.parametrize("positions", [3, 5, 512, 1024, 1030])
def test_a_run_with_any_number_of_positions_loads_in_their_class(
    theirs, tmp_path, caplog, positions
):
    """Its tables have 1,026 rows; it comes back as it was, of more than 1,024 positions the first."""
    state = authors.training_state(rows=rows_of(theirs, SENTINELS), positions=positions)
    path = authors.write_checkpoint(tmp_path / "theirs.pt", state)
    import_authors(path, tmp_path / "run", vocab=theirs)
    with caplog.at_level(logging.WARNING):
        export_authors.export_hugging_face(tmp_path / "run", tmp_path / "hf", fp32=True)
    assert ("has 1,030 positions, the authors' class 1,024" in caplog.text) == (positions > 1024)
    named = torch.load(tmp_path / "hf" / "pytorch_model.bin", weights_only=True)
    tables = {key: value for key, value in named.items() if "pos_embed" in key}
    assert len(tables) == 2 and {value.shape for value in tables.values()} == {(1026, 8)}
    reach = json.loads((tmp_path / "hf" / "config.json").read_text())["max_positions"]
    assert reach == min(positions, 1024)
    model = read_model(tmp_path / "hf")
    compared(model, named, length=min(positions, 18), reach=reach)
    first = read_model(tmp_path / "run", main_only=True, max_positions=None).state
    for key, value in model.state.items():
        assert torch.equal(value, first[key][:1024] if "positions" in key else first[key]), key


def test_the_exported_configuration_is_complete(run, tmp_path):
    export_authors.export_hugging_face(run[0], tmp_path / "hf")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    expected = {
        "vocab_size": len(run[1]["encoder.embed_tokens.weight"]),
        "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 3, "num_decoder_layers": 3, "num_heads": 2,
        "relative_attention_num_buckets": 12, "relative_attention_max_distance": 11,
        "max_positions": 20, "layer_norm_epsilon": 1e-5, "feed_forward_proj": "relu",
        "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2,
        "tie_word_embeddings": True, "is_encoder_decoder": True, "torch_dtype": "float32",
    }  # fmt: skip
    assert {key: config[key] for key in expected} == expected


def test_an_exported_folder_comes_back_with_its_vocabulary(run, tmp_path):
    export_authors.export_hugging_face(run[0], tmp_path / "hf", fp32=True)
    assert {"sp.model", "dict.txt"} <= {path.name for path in (tmp_path / "hf").iterdir()}
    path = import_authors(tmp_path / "hf", tmp_path / "again")
    assert Vocabulary.load(path.parent / "vocab").hash == Vocabulary.load(run[0] / "vocab").hash
    first, second = read_model(run[0], main_only=True), read_model(path)
    assert first.state.keys() == second.state.keys()
    assert all(torch.equal(first.state[key], value) for key, value in second.state.items())


def test_weights_too_large_for_fp16_are_refused(run, tmp_path):
    state = torch.load(run[0] / "checkpoint_last.pt", weights_only=True)
    state["model"]["encoder.layers.0.ffn.fc1.bias"][0] = 1e6
    (tmp_path / "run").mkdir()
    torch.save(state, tmp_path / "run" / "checkpoint_last.pt")
    Vocabulary.load(run[0] / "vocab").copy_to(tmp_path / "run" / "vocab")
    with pytest.raises(UserError, match="fp16 cannot hold; give --fp32"):
        export_authors.export_hugging_face(tmp_path / "run", tmp_path / "hf")
    assert not (tmp_path / "hf").exists()
    export_authors.export_hugging_face(tmp_path / "run", tmp_path / "hf", fp32=True)
