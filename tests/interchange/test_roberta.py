"""RoBERTa there and back: against transformers, and against fairseq's own model."""

import argparse
import json
import pickle
import shutil
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.models.roberta import RobertaModel

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.masked_lm import MaskedLMBlocksCriterion
from fairseq_metro.interchange import export_roberta, import_roberta
from fairseq_metro.interchange.init_from import initialize_from
from fairseq_metro.interchange.roberta import load_roberta, read_run
from fairseq_metro.models.roberta import RobertaMLMConfig, RobertaMLMModel
from fairseq_metro.vocabulary.folder import Vocabulary
from fairseq_metro.vocabulary.roberta import RobertaVocabulary, open_vocabulary
from fairseq_metro.vocabulary.tokenizers import VocabularyTokenizer, load_tokenizer
from tests.interchange import roberta_folders
from tests.interchange.roberta_folders import SYMBOLS, tokens, write_folder

fairseq_metro.register()
TEXTS = ["the old river carries stone", "Bright winter house", " a letter, quietly: 7\n\n né"]


@pytest.fixture
def transformers():
    return pytest.importorskip(
        "transformers", reason="the reference, transformers, is not installed"
    )


def by_theirs(model, x):
    with torch.no_grad():
        return model(x, attention_mask=x.ne(1).long()).logits[x.ne(1)]


def by_ours(model, x):
    with torch.no_grad():
        return model(x)[x.ne(1)]


def same(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_logits_equal_transformers_in_both_directions(tmp_path, transformers, form):
    folder, reference = write_folder(tmp_path / "theirs")
    assert reference.roberta.embeddings.token_type_embeddings.weight.abs().min() > 0
    model, tokenizer = load_roberta(folder)
    assert len(tokenizer) == SYMBOLS and not model.training
    batches = [tokens(17, 9, 3), tokens(6, 32, seed=2, left=True)]
    for x in batches:
        expected = by_theirs(reference, x)
        assert expected.std() > 0.5  # something to compare
        same(by_ours(model, x), expected)

    assert import_roberta.main([str(folder), "--out", str(tmp_path / "run")]) == 0
    words = [str(tmp_path / "run"), "--out", str(tmp_path / "back"), "--format", form]
    assert export_roberta.main(words) == 0
    again = transformers.RobertaForMaskedLM.from_pretrained(tmp_path / "back").eval()
    assert again.lm_head.decoder.weight is again.roberta.embeddings.word_embeddings.weight
    assert again.roberta.embeddings.token_type_embeddings.weight.eq(0).all()  # it is folded
    for x in batches:
        same(by_theirs(again, x), by_theirs(reference, x))
    changed = {key: value for key, value in again.config.to_diff_dict().items()
               if value != reference.config.to_dict().get(key)}  # fmt: skip
    assert changed.keys() <= {"architectures", "transformers_version", "dtype", "_name_or_path"}
    # And theirs once more to ours.
    assert torch.equal(load_roberta(tmp_path / "back")[0](x), model(x))


def test_states_and_scores_equal_transformers(tmp_path, transformers):
    folder, _ = write_folder(tmp_path / "theirs")
    reference = transformers.RobertaForMaskedLM.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()
    model, _ = load_roberta(folder)
    x = tokens(17, 9, 3)
    with torch.no_grad():
        theirs = reference(x, attention_mask=x.ne(1).long(), output_hidden_states=True,
                           output_attentions=True)  # fmt: skip
        ours = model.encode(x, hidden=True, attention=True)
    for a, b in zip(ours.hidden, theirs.hidden_states, strict=True):
        same(a[x.ne(1)], b[x.ne(1)])
    hidden_keys = x.eq(1)[:, None, None, :]
    for scores, weights in zip(ours.attention, theirs.attentions, strict=True):
        same(scores.masked_fill(hidden_keys, -torch.inf).softmax(-1), weights)


def test_text_becomes_the_ids_of_their_tokenizer(tmp_path, transformers):
    folder, _ = write_folder(tmp_path / "theirs")
    import_roberta.import_roberta(folder, tmp_path / "run")
    export_roberta.write_folder(read_run(tmp_path / "run"), tmp_path / "back")
    ours = [load_roberta(tmp_path / "run")[1], load_tokenizer(tmp_path / "run" / "vocab")]
    vocabulary = open_vocabulary(tmp_path / "run" / "vocab")
    assert isinstance(vocabulary, RobertaVocabulary)
    assert {tokenizer.hash for tokenizer in ours} == {vocabulary.hash}
    theirs = transformers.RobertaTokenizer.from_pretrained(tmp_path / "back")
    for text in TEXTS:
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        assert [tokenizer.encode(text) for tokenizer in ours] == [expected] * 2
        assert vocabulary.decode(expected) == text
        assert vocabulary.encode_pieces(text).split() == theirs.convert_ids_to_tokens(expected)
    flat, sizes = vocabulary.encode_flat(TEXTS)
    assert flat.tolist() == [i for text in TEXTS for i in ours[0].encode(text)]
    assert sizes.sum() == len(flat)


def test_the_dictionary_is_in_the_order_of_ids_with_the_mask_last(tmp_path):
    folder, _ = write_folder(tmp_path / "theirs")
    import_roberta.import_roberta(folder, tmp_path / "run")
    vocabulary = open_vocabulary(tmp_path / "run" / "vocab")
    dictionary = vocabulary.dictionary()
    from_file = type(dictionary).load(str(tmp_path / "run" / "vocab" / "dict.txt"))
    assert from_file.symbols == dictionary.symbols
    ids = json.loads((folder / "vocab.json").read_text("utf-8"))
    assert {symbol: i for i, symbol in enumerate(dictionary.symbols)} == ids
    assert vocabulary.index("mask") == len(dictionary) - 1 == dictionary.index("<mask>")
    copy = pickle.loads(pickle.dumps(vocabulary))
    assert copy.hash == vocabulary.hash and copy.symbols == vocabulary.symbols


def test_a_vocabulary_folder_is_copied_once_and_never_replaced(tmp_path, vocabulary):
    folder, _ = write_folder(tmp_path / "theirs")
    byte_level = open_vocabulary(folder)
    for _ in range(2):
        byte_level.copy_to(tmp_path / "vocab")
    assert open_vocabulary(tmp_path / "vocab").hash == byte_level.hash
    vocabulary.copy_to(tmp_path / "ours")
    other = open_vocabulary(roberta_folders.tiny.write_folder(tmp_path / "other"))
    for another, place in ((byte_level, "ours"), (other, "vocab")):
        with pytest.raises(UserError, match="holds another vocabulary"):
            another.copy_to(tmp_path / place)


def test_fairseq_loads_a_run_and_training_keeps_one_table(tmp_path, transformers):
    folder, _ = write_folder(tmp_path / "theirs")
    run = tmp_path / "run"
    import_roberta.import_roberta(folder, run)
    path = str(run / "checkpoint_last.pt")
    (model,), cfg, task = checkpoint_utils.load_model_ensemble_and_task(
        [path], arg_overrides={"data": str(run)}
    )
    assert cfg.model._name == "roberta_mlm" and len(task.dictionary) == SYMBOLS
    table, before = model.encoder.embed_tokens.weight, model.encoder.embed_tokens.weight.clone()
    x, index = tokens(9, 5), torch.tensor([2, 10])
    sample = {"net_input": {"src_tokens": x, "masked_index": index}, "ntokens": 14}
    sample |= {"target": torch.tensor([9, 7]), "n_masked": 2, "nsentences": 2}
    criterion = MaskedLMBlocksCriterion(SimpleNamespace(commonest_token=-1, target_dictionary=None))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion(model, sample)[0].backward()
    optimizer.step()
    assert model.encoder.embed_tokens.weight is table and not torch.equal(table, before)
    # Both sides of it moved: an output row that is no input, an input row beside those.
    assert (table[9] != before[9]).any() and (table[0] != before[0]).any()
    state = torch.load(path, weights_only=True)
    state["model"] = model.state_dict()
    torch.save(state, path)
    export_roberta.write_folder(read_run(run), tmp_path / "back")
    again = transformers.RobertaForMaskedLM.from_pretrained(tmp_path / "back").eval()
    same(by_theirs(again, x), by_ours(model.eval(), x))


def test_weights_in_several_files_and_with_every_alias(tmp_path):
    folder, reference = write_folder(tmp_path / "theirs")
    x, expected = tokens(17, 9, 3), load_roberta(folder)[0](tokens(17, 9, 3))
    (folder / "model.safetensors").unlink()
    reference.save_pretrained(folder, max_shard_size="4KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    assert torch.equal(load_roberta(folder)[0](x), expected)

    for path in folder.glob("model*"):
        path.unlink()
    state = reference.state_dict()
    assert {"lm_head.decoder.weight", "lm_head.decoder.bias"} <= state.keys()
    state["roberta.embeddings.position_ids"] = torch.arange(34)[None]
    state["roberta.pooler.dense.weight"] = torch.zeros(24, 24)
    torch.save(state, folder / "pytorch_model.bin")
    assert torch.equal(load_roberta(folder)[0](x), expected)
    del state["lm_head.bias"]  # one of the two is enough
    torch.save(state, folder / "pytorch_model.bin")
    assert torch.equal(load_roberta(folder)[0](x), expected)


def test_a_run_with_our_own_vocabulary(tmp_path, vocabulary, transformers):
    config = RobertaMLMConfig(embed_dim=16, ffn_dim=24, attention_heads=2, encoder_layers=1,
                              max_positions=32)  # fmt: skip
    model = RobertaMLMModel(config, vocabulary.dictionary()).eval()
    cfg = {"model": {**vars(config), "_name": "roberta_mlm_tiny"}}
    run = tmp_path / "run"
    vocabulary.copy_to(run / "vocab")
    torch.save({"model": model.state_dict(), "cfg": cfg}, run / "checkpoint_last.pt")
    loaded, tokenizer = load_roberta(run)
    assert isinstance(tokenizer, VocabularyTokenizer) and tokenizer.hash == vocabulary.hash
    x = tokens(9, 4) % len(vocabulary)
    assert torch.equal(by_ours(loaded, x), by_ours(model, x))
    export_roberta.write_folder(read_run(run), tmp_path / "back")
    again = transformers.RobertaForMaskedLM.from_pretrained(tmp_path / "back").eval()
    same(by_theirs(again, x), by_ours(model, x))
    back, tokenizer = load_roberta(tmp_path / "back")
    assert torch.equal(back(x), model(x)) and tokenizer.hash == vocabulary.hash


# fairseq's own checkpoints


def fairseq_model():
    """fairseq's RobertaModel with random parameters, and its options."""
    from fairseq.models.roberta import model as theirs

    args = argparse.Namespace(
        encoder_layers=2, encoder_embed_dim=24, encoder_ffn_embed_dim=40, encoder_attention_heads=4,
        max_positions=32, tokens_per_sample=32, arch="roberta",
    )  # fmt: skip
    theirs.base_architecture(args)
    tokenizer = roberta_folders.tiny.tokenizer(roberta_folders.WORDS)
    words = RobertaVocabulary(tokenizer).dictionary()
    task = SimpleNamespace(source_dictionary=words, cfg=None)
    torch.manual_seed(2)
    model = RobertaModel.build_model(args, task).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model, args


def old_names(state):
    """As a fairseq of 2019 wrote them."""
    renamed = (("encoder.", "decoder."), ("layernorm_embedding", "emb_layer_norm"))
    old = {}
    for key, value in state.items():
        for new, name in renamed:
            key = key.replace(new, name, 1)
        old[key] = value
    for key in [key for key in old if ".q_proj." in key]:
        parts = [old.pop(key.replace(".q_proj.", f".{letter}_proj.")) for letter in "qkv"]
        old[key.replace(".q_proj.", ".in_proj_")] = torch.cat(parts)
    return old


@pytest.mark.parametrize("names", ["new", "old"])
def test_fairseqs_own_checkpoints(tmp_path, names):
    model, args = fairseq_model()
    state = model.state_dict()
    state = old_names(state) if names == "old" else state
    vocabulary = roberta_folders.gpt2_files(tmp_path)
    legacy = names == "old"
    torch.save({"model": state, "args": args}, tmp_path / "model.pt",
               _use_new_zipfile_serialization=not legacy)  # fmt: skip
    assert import_roberta.main([str(tmp_path / "model.pt"), "--out", str(tmp_path / "run")]) == 0
    ours, tokenizer = load_roberta(tmp_path / "run")
    x = tokens(17, 9, 3)
    with torch.no_grad():
        expected = model(x)[0][x.ne(1)]
    assert expected.std() > 0.5
    same(by_ours(ours, x), expected)
    assert tokenizer.bpe.vocabulary == vocabulary
    expected = roberta_folders.tiny.tokenizer(roberta_folders.WORDS)
    assert all(tokenizer.encode(text) == expected.encode(text) for text in TEXTS)


def test_what_fairseqs_checkpoints_may_lack(tmp_path):
    model, args = fairseq_model()
    folder, path = tmp_path / "files", tmp_path / "model.pt"
    roberta_folders.gpt2_files(folder)
    torch.save({"model": model.state_dict(), "args": args}, path)
    with pytest.raises(UserError, match="no tokenizer beside it"):
        load_roberta(path)
    with pytest.raises(UserError, match=r"dict.txt: no such file, which says the order"):
        load_roberta(path, folder)
    tokenizer = roberta_folders.tiny.write_folder(tmp_path / "bpe", roberta_folders.WORDS)
    assert len(load_roberta(path, tokenizer)[1]) == SYMBOLS
    other = roberta_folders.tiny.write_folder(tmp_path / "other", roberta_folders.WORDS[:3])
    with pytest.raises(UserError, match="give the one it was trained with"):
        load_roberta(path, other)
    with pytest.raises(UserError, match="no tokenizer there; give a folder"):
        load_roberta(path, tmp_path / "run")
    del args.encoder_attention_heads
    torch.save({"model": model.state_dict(), "args": args}, path)
    with pytest.raises(UserError, match="attention heads is not in the file; give --heads"):
        load_roberta(path, tokenizer)
    assert import_roberta.import_roberta(path, tmp_path / "run", tokenizer, heads=4).is_file()
    args.activation_fn = "relu"
    torch.save({"model": model.state_dict(), "args": args}, path)
    with pytest.raises(UserError, match="activation_fn is 'relu', but our RoBERTa has 'gelu'"):
        load_roberta(path, tokenizer)


# What can be wrong


def config_with(**changes):
    def spoil(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def state_with(change):
    def spoil(folder):
        from safetensors.torch import load_file

        state = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        change(state)
        torch.save(state, folder / "pytorch_model.bin")

    return spoil


WRONG = {
    "kind": (config_with(model_type="bert"), "model_type is 'bert', must be 'roberta'"),
    "activation": (config_with(hidden_act="relu"), "hidden_act is 'relu', but our RoBERTa has"),
    "number": (config_with(hidden_size="24"), "hidden_size is '24', must be a number"),
    "size": (config_with(intermediate_size=44), "by its configuration it is"),
    "layers": (config_with(num_hidden_layers=2), "is none of RoBERTa's with 2 layers"),
    "missing": (state_with(lambda s: s.pop("lm_head.dense.bias")), "no parameter lm_head.dense.b"),
    "unknown": (state_with(lambda s: s.update(x=s["lm_head.bias"])), "parameter x is none of"),
    "untied": (
        state_with(lambda s: s.update({"lm_head.decoder.weight": torch.ones(SYMBOLS, 24)})),
        "lm_head.decoder.weight and roberta.embeddings.word_embeddings.weight differ",
    ),
    "tokenizer": (lambda f: (f / "merges.txt").unlink(), "no tokenizer beside it"),
    "other tokenizer": (lambda f: roberta_folders.tiny.write_folder(f), "symbols; give the one"),
    "weights": (lambda f: (f / "model.safetensors").unlink(), "neither pytorch_model.bin nor"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_line_and_writes_nothing(tmp_path, case):
    spoil, message = WRONG[case]
    folder, _ = write_folder(tmp_path / "theirs")
    spoil(folder)
    with pytest.raises(UserError, match=message) as caught:
        import_roberta.import_roberta(folder, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_another_model_or_an_empty_folder_is_refused(tmp_path):
    torch.save({"model": {"w": torch.zeros(1)}, "cfg": {"model": {"_name": "x"}}},
               tmp_path / "x.pt")  # fmt: skip
    with pytest.raises(UserError, match=r"not a checkpoint of roberta_mlm \(it is of x\)"):
        load_roberta(tmp_path / "x.pt")
    with pytest.raises(UserError, match="neither a run's folder"):
        load_roberta(tmp_path)


@pytest.mark.parametrize("module", [import_roberta, export_roberta])
def test_help_names_the_format(module, capsys):
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0 and "Hugging Face folder" in capsys.readouterr().out


# --init-from


def test_a_new_model_begins_with_any_form(tmp_path, vocabulary):
    folder, _ = write_folder(tmp_path / "theirs")
    import_roberta.import_roberta(folder, tmp_path / "run")
    found = read_run(tmp_path / "run")
    byte_level, cfg = open_vocabulary(folder), RobertaMLMConfig(**found.config)
    for source in (folder, tmp_path / "run", tmp_path / "run" / "checkpoint_last.pt"):
        task = SimpleNamespace(source_dictionary=byte_level.dictionary())
        model = RobertaMLMModel.build_model(cfg, task)
        initialize_from(model, cfg, byte_level, source)
        assert all(torch.equal(v, found.state[k]) for k, v in model.state_dict().items())
    with pytest.raises(UserError, match="is another than"):
        initialize_from(model, cfg, vocabulary, folder)
    cfg.encoder_layers = 4
    with pytest.raises(UserError, match="it has --encoder-layers 3, but here it is 4; give its"):
        initialize_from(model, cfg, byte_level, folder)
    shutil.rmtree(tmp_path / "run" / "vocab")
    with pytest.raises(UserError, match="no tokenizer beside it"):
        initialize_from(model, cfg, byte_level, tmp_path / "run")
    assert isinstance(vocabulary, Vocabulary)
