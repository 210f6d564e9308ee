"""Every kind of model goes to Hugging Face and back: logits, generation, bytes."""

import ast
import json
import os

import numpy as np
import pytest
import torch

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import write_json
from fairseq_metro.interchange import export_hf
from fairseq_metro.interchange.hugging_face import write_weights
from fairseq_metro.interchange.import_authors import import_authors
from fairseq_metro.interchange.import_roberta import import_roberta
from fairseq_metro.interchange.import_t5 import import_t5
from fairseq_metro.interchange.init_from import initialize_from
from fairseq_metro.interchange.model import read_model
from fairseq_metro.interchange.training_facts import without_folders
from fairseq_metro.models.metro_t5 import MetroT5Config
from fairseq_metro.modules.relative_position import relative_position_bucket
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.interchange import authors, exports, t5_folders
from tests.interchange.exports import modules_cache  # noqa: F401  a fixture

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
fairseq_metro.register()
TEXTS = ["the old river carries stone", "Bright winter house", "a letter, quietly: 7"]


def exported(tmp_path, vocabulary, name, *words, **changes):
    """(run's folder, its model, the exported folder)."""
    run, model = exports.write_run(tmp_path / "run", vocabulary, name, **changes)
    assert export_hf.main([str(run), "--out", str(tmp_path / "hf"), *words]) == 0
    return run, model, tmp_path / "hf"


def load_hf(folder, auto="AutoModelForSeq2SeqLM"):
    return getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True).eval()


@pytest.mark.parametrize("name", ["t5_transformer", "metro_t5"])
def test_logits_of_the_main_model_equal_ours(tmp_path, vocabulary, modules_cache, name):  # noqa: F811
    _, model, folder = exported(tmp_path, vocabulary, name)
    theirs = load_hf(folder)
    sources, targets = exports.batch(vocabulary)
    y = exports.padded(targets)
    previous, real = exports.shifted(y), y != 1
    with torch.no_grad():
        ours = model(exports.padded(sources), None, previous)[0]
        for left in (False, True):
            out = theirs(input_ids=exports.padded(sources, left), decoder_input_ids=previous)
            torch.testing.assert_close(out.logits[real], ours[real], rtol=0, atol=1e-4)
        labels = y.masked_fill(~real, -100)
        loss = theirs(input_ids=exports.padded(sources), labels=labels).loss
        expected = -ours.log_softmax(-1)[real].gather(1, y[real][:, None]).mean()
        torch.testing.assert_close(loss, expected)
        half = load_hf(folder).to(torch.bfloat16)
        again = half(input_ids=exports.padded(sources), decoder_input_ids=previous).logits[real]
    assert ours[real].std() > 0.5 and (again.float() - ours[real]).abs().mean() < 0.2
    with pytest.raises(ValueError, match="an input of 41 tokens, but the model has 40 positions"):
        theirs(input_ids=torch.full((1, 41), 5), decoder_input_ids=previous[:1])


def test_generation_with_and_without_cache_equals_ours(tmp_path, vocabulary, modules_cache):  # noqa: F811
    run, _, folder = exported(tmp_path, vocabulary, "t5_transformer")
    theirs, predictor = load_hf(folder), fairseq_metro.load(folder, "cpu")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    x = tokenizer(TEXTS, return_tensors="pt", padding=True)
    expected = fairseq_metro.load(run, "cpu").generate(TEXTS, beam=1, max_len_b=12)
    assert predictor.generate(TEXTS, beam=1, max_len_b=12) == expected
    for use_cache in (True, False):
        ids = theirs.generate(**x, max_new_tokens=12, use_cache=use_cache)
        # fairseq ends a text of max_len_b tokens with </s> in place of another one
        texts = tokenizer.batch_decode(ids[:, :13], skip_special_tokens=True)
        assert [" ".join(text.split()) for text in texts] == [" ".join(t.split()) for t in expected]
    kept = [theirs.generate(**x, num_beams=3, max_new_tokens=9, use_cache=c) for c in (True, False)]
    assert torch.equal(*kept)


@pytest.mark.parametrize("changes", [
    dict(mlm_head="transform", rtd_head="roberta", share_auxiliary="token_pos_norm"),
    dict(mlm_head="linear", rtd_head="simple", auxiliary_embed_dim=8, clm_head="projection"),
    dict(rtd_on="decoder", share_auxiliary="token_pos", auxiliary_layers=2),
])  # fmt: skip
def test_the_auxiliary_model_and_heads_come_along(tmp_path, vocabulary, modules_cache, changes):  # noqa: F811
    _, model, folder = exported(tmp_path, vocabulary, "metro_t5", "--with-auxiliary", **changes)
    theirs = load_hf(folder, "AutoModelForPreTraining")
    sources, _ = exports.batch(vocabulary)
    x = exports.padded(sources)
    previous, real = exports.shifted(x), x != 1
    with torch.no_grad():
        table = model.encoder.embed_tokens.weight
        h_aux = model.auxiliary(x)["encoder_out"][0]
        encoded = model.encoder(x)
        h_dec = model.decoder.extract_features(previous, encoded)
        h_enc = encoded["encoder_out"][0]
        pairs = [
            (theirs.masked_lm_logits(x), model.mlm_head(h_aux, table)),
            (theirs.replaced_logits(x, decoder_input_ids=previous),
             model.rtd_head(h_enc if model.rtd_on == "encoder" else h_dec)),
            (theirs.clm_logits(x, previous), model.clm_head(h_dec, table)),
            (load_hf(folder)(input_ids=x, decoder_input_ids=previous).logits,
             model.decoder.output_layer(h_dec)),
        ]  # fmt: skip
    for found, expected in pairs:
        torch.testing.assert_close(found[real], expected[real], rtol=0, atol=1e-4)
    found = read_model(folder)
    assert found.name == "metro_t5" and found.state.keys() == model.state_dict().keys()
    round_trip(tmp_path, folder, import_authors, with_auxiliary=True)
    # and pretraining can begin with it
    cfg = MetroT5Config(**{**exports.KINDS["metro_t5"][2], **changes})
    fresh = type(model).build_model(cfg, exports.SimpleNamespace(
        source_dictionary=vocabulary.dictionary()))  # fmt: skip
    initialize_from(fresh, cfg, vocabulary, folder)
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in fresh.state_dict().items())


def round_trip(tmp_path, folder, importer, **options):
    """Export, import, export again: the same bytes."""
    importer(folder, tmp_path / "imported")
    export_hf.export_hf(tmp_path / "imported", tmp_path / "again", **options)
    first, second = exports.files(folder), exports.files(tmp_path / "again")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    export_hf.export_hf(folder, tmp_path / "at once", **options)
    assert exports.files(tmp_path / "at once") == first


@pytest.mark.parametrize("name", ["t5_transformer", "hf_t5", "roberta_mlm"])
def test_a_round_trip_changes_no_byte(tmp_path, vocabulary, name):
    _, _, folder = exported(tmp_path, vocabulary, name, "--title", "Mine | yours")
    importer = {"hf_t5": import_t5, "roberta_mlm": import_roberta}.get(name, import_authors)
    round_trip(tmp_path, folder, importer)
    config, card = (json.loads((folder / "config.json").read_text()),
                    (folder / "README.md").read_text("utf-8"))  # fmt: skip
    assert config["fairseq_metro"]["updates"] == 70
    assert "# Mine | yours" in card and "| updates | 70 |" in card and "commit abc" in card
    assert "`fairseq-train data --save-dir one --lr 0.1`" in card
    assert "my runs" not in card + json.dumps(config)


def test_t5_with_its_own_tokenizer_keeps_transformers_class(tmp_path):
    theirs, reference = t5_folders.write_folder(tmp_path / "theirs")
    import_t5(theirs, tmp_path / "run")
    export_hf.export_hf(tmp_path / "run", tmp_path / "hf")
    assert not list((tmp_path / "hf").glob("*.py"))
    again = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "hf").eval()
    for key, value in reference.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)
    round_trip(tmp_path, tmp_path / "hf", import_t5)


@pytest.mark.parametrize("name, auto", [
    ("hf_t5", "T5ForConditionalGeneration"), ("roberta_mlm", "RobertaForMaskedLM")
])  # fmt: skip
def test_stock_classes_with_a_vocabulary_of_ours(tmp_path, vocabulary, modules_cache, name, auto):  # noqa: F811
    _, model, folder = exported(tmp_path, vocabulary, name)
    theirs = load_hf(folder, auto)
    sources, targets = exports.batch(vocabulary)
    x, y = exports.padded(sources), exports.padded(targets)
    with torch.no_grad():
        if name == "hf_t5":
            previous = exports.shifted(y)
            ours = model(x, torch.tensor(list(map(len, sources))), previous)[0][y != 1]
            found = theirs(input_ids=x, attention_mask=(x != 1).long(), decoder_input_ids=previous)
            found = found.logits[y != 1]
        else:
            found = theirs(input_ids=x, attention_mask=(x != 1).long()).logits[x != 1]
            index = (x != 1).flatten().nonzero().squeeze(1)
            ours = model(x, masked_index=index)
            ours = ours[0] if isinstance(ours, tuple) else ours
    torch.testing.assert_close(found, ours, rtol=0, atol=1e-4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == [0, *vocabulary.encode(text), 2]


def test_the_authors_release_becomes_a_folder_that_transformers_loads(tmp_path, theirs):
    from tests.interchange.vocabulary import rows_of

    state = authors.training_state(generator=0, rtd_head="", rows=rows_of(theirs, 9))
    folder = authors.write_release(tmp_path / "release", state, vocab_size=rows_of(theirs, 9))
    for name in ("sp.model", "dict.txt"):
        (folder / name).write_bytes((theirs / name).read_bytes())
    export_hf.export_hf(folder, tmp_path / "hf")
    assert read_model(tmp_path / "hf").state.keys() == read_model(folder).state.keys()
    settings = Vocabulary.load(tmp_path / "hf" / "vocab").settings
    assert settings["normalization"] == "metro" and settings["lowercase"]


def test_the_folders_code_needs_nothing_of_ours(tmp_path, vocabulary):
    _, _, folder = exported(tmp_path, vocabulary, "t5_transformer")
    allowed = {"torch", "transformers", "sentencepiece", "math", "json", "shutil", "pathlib", "re",
               "unicodedata", "functools"}  # fmt: skip
    for path in folder.glob("*.py"):
        direct, needed = set(), set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom) and node.level:
                direct.add(node.module)
                other = ast.parse((folder / f"{node.module}.py").read_text("utf-8"))
                needed |= {n.module for n in ast.walk(other)
                           if isinstance(n, ast.ImportFrom) and n.level}  # fmt: skip
            elif isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] in allowed, path
        assert needed <= direct, f"{path}: transformers copies what a file imports itself, only"


@pytest.mark.parametrize("buckets, distance", [(4, 3), (8, 20), (32, 128), (64, 128), (128, 256)])
def test_their_buckets_are_ours(buckets, distance):
    from fairseq_metro.interchange.remote_code.layers_fairseq_metro import relative_bucket

    numbers = np.arange(-600, 601)
    found = relative_bucket(torch.from_numpy(numbers), buckets, distance)
    assert found.tolist() == relative_position_bucket(numbers, buckets, distance).tolist()


def test_what_is_wrong_is_one_line_and_leaves_nothing(tmp_path, vocabulary):
    run, _ = exports.write_run(tmp_path / "run", vocabulary, "t5_transformer")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(UserError, match="there is something already"):
        export_hf.export_hf(run, tmp_path / "full")
    with pytest.raises(UserError, match="no such file or folder"):
        export_hf.export_hf(tmp_path / "nothing", tmp_path / "hf")
    (run / "vocab").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="no vocabulary beside it"):
        export_hf.export_hf(run, tmp_path / "hf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "full", "run"]


def test_a_folder_that_lacks_something_is_one_line(tmp_path, vocabulary):
    _, _, folder = exported(tmp_path, vocabulary, "t5_transformer")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auxiliary": None} | {"x": 1}))
    assert read_model(folder).name == "t5_transformer"
    del config["ffn_dim"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config.json: no ffn_dim; export the model again"):
        read_model(folder)


@pytest.mark.parametrize("text, left", [
    ("/a/b/fairseq-train /x/y:/z --out=/q/w --adam '(0.9, 0.98)'",
     "fairseq-train y:z --out=w --adam '(0.9, 0.98)'"),
    ("a/b c", "a/b c"), ("no paths", "no paths"), ("it's /a/b", "it's b"), ("/", "''"),
])  # fmt: skip
def test_folders_of_a_machine_are_left_out(text, left):
    if "'s" in text:
        assert "/a/" not in without_folders(text)
    else:
        assert without_folders(text) == left
    assert without_folders(without_folders(text)) == without_folders(text)


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_the_weights_is_for_the_umask_to_say(tmp_path, umask, mode):
    """safetensors alone would let nobody else read them."""
    before = os.umask(umask)
    try:
        write_weights({"a": torch.ones(2)}, tmp_path / "model.safetensors")
        write_weights({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
        write_json(tmp_path / "config.json", {})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}
