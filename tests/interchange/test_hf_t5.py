import json
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange import export_t5, import_t5
from fairseq_metro.interchange.hf_t5 import read_run
from fairseq_metro.interchange.init_from import initialize_from
from fairseq_metro.models.hf_t5 import HfT5Config, HfT5Model
from fairseq_metro.vocabulary.folder import Vocabulary
from fairseq_metro.vocabulary.hf_t5 import Rows, rows_of
from tests.interchange import t5_folders
from tests.interchange.t5_folders import KINDS, WORDS

fairseq_metro.register()
transformers = pytest.importorskip(
    "transformers", reason="the reference, transformers, is not installed"
)
TEXTS = ["the old river carries stone", "Bright winter house", "a letter, quietly: 7"]


def load(run):
    """fairseq's model and vocabulary of a run's folder."""
    path = str(run / "checkpoint_last.pt")
    (model,), cfg, _ = checkpoint_utils.load_model_ensemble_and_task(
        [path], arg_overrides={"data": str(run)}
    )
    assert cfg.model._name == "hf_t5" and cfg.model.decoder_start == "<pad>"
    return model.eval(), Vocabulary.load(run / "vocab")


def padded(rows, pad):
    width = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])


def both_logits(model, vocabulary, reference, sources, targets):
    """Ours, its columns in the order of their ids, and theirs, on the same right-padded batch.

    sources, targets: lists of lists of their ids.
    """
    rows = rows_of(vocabulary)
    ours_of = {theirs: i for i, theirs in enumerate(rows.order)}
    x, y = padded(sources, 0), padded(targets, 0)
    with torch.no_grad():
        expected = reference(
            input_ids=x, attention_mask=mask_of(sources), decoder_input_ids=y
        ).logits
        logits, _ = model(
            x.apply_(ours_of.get),
            torch.tensor(list(map(len, sources))),
            y.clone().apply_(ours_of.get),
        )
    kept = [i for i in range(len(rows.order)) if rows.order[i] is not None]
    columns = torch.empty_like(expected)
    columns[..., [rows.order[i] for i in kept]] = logits[..., kept]
    valid = mask_of(targets).bool()
    return columns[valid], expected[valid], logits


def mask_of(lists):
    return padded([[1] * len(row) for row in lists], 0)


def batch(vocab_size, seed=1):
    generator = torch.Generator().manual_seed(seed)

    def some(sizes):
        return [torch.randint(1, vocab_size, (n,), generator=generator).tolist() for n in sizes]

    return some([40, 3, 17]), [[0, *row] for row in some([9, 1, 25])]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_transformers_in_both_directions(tmp_path, kind):
    folder, reference = t5_folders.write_folder(tmp_path / "theirs", **KINDS[kind])
    assert import_t5.main([str(folder), "--out", str(tmp_path / "run")]) == 0
    model, vocabulary = load(tmp_path / "run")
    sources, targets = batch(reference.config.vocab_size)
    ours, theirs, _ = both_logits(model, vocabulary, reference, sources, targets)
    assert theirs.std() > 0.5  # something to compare
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)

    for form in ("safetensors", "bin"):
        back = tmp_path / form
        words = [str(tmp_path / "run"), "--out", str(back), "--format", form]
        assert export_t5.main(words) == 0
        again = transformers.T5ForConditionalGeneration.from_pretrained(back).eval()
        with torch.no_grad():
            y = again(
                input_ids=padded(sources, 0), attention_mask=mask_of(sources),
                decoder_input_ids=padded(targets, 0),
            ).logits[mask_of(targets).bool()]  # fmt: skip
        assert torch.equal(y, theirs)
        same = {key for key, value in again.config.to_diff_dict().items()
                if value != reference.config.to_dict().get(key)}  # fmt: skip
        assert same <= {"architectures", "transformers_version", "dtype", "_name_or_path"}


def test_mt5_is_t5(tmp_path):
    folder, reference = t5_folders.write_folder(tmp_path / "theirs", family="MT5")
    import_t5.import_t5(folder, tmp_path / "run")
    model, vocabulary = load(tmp_path / "run")
    assert model.decoder.output_projection is not None  # by its own defaults
    ours, theirs, _ = both_logits(model, vocabulary, reference, *batch(reference.config.vocab_size))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_table_without_a_spare_row_never_predicts_bos(tmp_path):
    folder, reference = t5_folders.write_folder(tmp_path / "theirs", spare=0)
    import_t5.import_t5(folder, tmp_path / "run")
    model, vocabulary = load(tmp_path / "run")
    assert len(vocabulary) == reference.config.vocab_size + 1
    ours, theirs, logits = both_logits(
        model, vocabulary, reference, *batch(reference.config.vocab_size)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    probabilities = logits.softmax(-1)
    assert (probabilities[..., 0] == 0).all()
    torch.testing.assert_close(ours.logsumexp(-1), theirs.logsumexp(-1), rtol=1e-4, atol=1e-4)
    export_t5.write_folder(read_run(tmp_path / "run"), tmp_path / "back", safetensors=False)
    again = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "back")
    assert torch.equal(again.shared.weight, reference.shared.weight)


def test_text_becomes_the_ids_of_their_tokenizer(tmp_path):
    folder, _ = t5_folders.write_folder(tmp_path / "theirs")
    import_t5.import_t5(folder, tmp_path / "run")
    vocabulary = Vocabulary.load(tmp_path / "run" / "vocab")
    export_t5.write_folder(read_run(tmp_path / "run"), tmp_path / "back")
    order = rows_of(vocabulary).order
    for tokenizer in map(transformers.T5Tokenizer.from_pretrained, (folder, tmp_path / "back")):
        for text in TEXTS:
            ours = [*vocabulary.encode(text), vocabulary.indices["</s>"]]
            assert [order[i] for i in ours] == tokenizer(text)["input_ids"]
        for k, index in enumerate(vocabulary.sentinel_indices):
            assert order[index] == tokenizer.convert_tokens_to_ids(f"<extra_id_{k}>")
    assert vocabulary.source_prefix == []
    assert order[vocabulary.index("decoder_start")] == 0
    dictionary = vocabulary.dictionary()
    specials = (dictionary.pad(), dictionary.eos(), dictionary.unk())
    assert [order[i] for i in specials] == [0, 1, 2]


def test_a_bos_of_their_own_keeps_its_row(tmp_path):
    folder, _ = t5_folders.write_folder(
        tmp_path / "theirs", tokenizer=t5_folders.tokenizer_model(bos=True)
    )
    import_t5.import_t5(folder, tmp_path / "run")
    assert rows_of(Vocabulary.load(tmp_path / "run" / "vocab")).bos == 3


def test_added_tokens_are_where_the_configuration_lists_them(tmp_path):
    folder, reference = t5_folders.write_folder(tmp_path / "theirs")
    last = reference.config.vocab_size - 1
    listed = {str(last - 1): {"content": "<extra_id_0>"}, "0": {"content": "<pad>"},
              str(last): {"content": "<new>"}}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": listed}))
    import_t5.import_t5(folder, tmp_path / "run")
    vocabulary = Vocabulary.load(tmp_path / "run" / "vocab")
    rows = rows_of(vocabulary)
    assert rows.order[vocabulary.indices["<new>"]] == last and rows.bos == last - 2
    assert [rows.order[i] for i in vocabulary.sentinel_indices] == [last - 1]


def test_rows_go_there_and_back():
    table = torch.arange(14.0).view(7, 2)
    for bos in (6, 3, None):
        rows = Rows(7, bos, 0, 1, 2)
        ours = rows.to_ours(table)
        assert len(ours) == 7 + (bos is None)
        assert torch.equal(ours[1:4], table[:3])
        assert torch.equal(rows.to_theirs(ours), table)
    assert ours[0].eq(0).all()


def test_weights_in_several_files_are_read(tmp_path):
    folder, reference = t5_folders.write_folder(tmp_path / "theirs")
    shutil.copytree(folder, tmp_path / "split")
    (tmp_path / "split" / "model.safetensors").unlink()
    reference.save_pretrained(tmp_path / "split", max_shard_size="10KB")
    assert len(list((tmp_path / "split").glob("*.safetensors"))) > 2
    for name in ("theirs", "split"):
        import_t5.import_t5(tmp_path / name, tmp_path / f"{name} run")
    one, other = (read_run(tmp_path / f"{name} run").state for name in ("theirs", "split"))
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)

    next((tmp_path / "split").glob("model-00002*")).unlink()
    with pytest.raises(UserError, match=r"model-00002.*no such file, but"):
        import_t5.import_t5(tmp_path / "split", tmp_path / "bad")


def changed_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda f: changed_config(f, model_type="bart"), "model_type is 'bart', must be"),
        (lambda f: changed_config(f, feed_forward_proj="silu"), "feed_forward_proj is 'silu'"),
        (lambda f: changed_config(f, dense_act_fn="gelu"), "with dense_act_fn 'gelu'"),
        (lambda f: changed_config(f, d_model="wide"), "d_model is 'wide', must be a number"),
        (lambda f: changed_config(f, d_ff=30), "ffn.fc1.weight would be"),
        (lambda f: changed_config(f, num_layers=2), "parameter encoder.block.2.* is none of"),
        (lambda f: changed_config(f, num_layers=4), "no parameter encoder.block.3"),
        (lambda f: changed_config(f, tie_word_embeddings=False), "no parameter lm_head"),
        (lambda f: changed_config(f, scale_decoder_outputs=False), "scale_decoder_outputs must"),
        (lambda f: changed_config(f, vocab_size=20), "pieces, but config.json has a vocab_size"),
        (lambda f: changed_config(f, vocab_size=90), "token table of .* but vocab_size is 90"),
        (lambda f: changed_config(f, eos_token_id=0), "must be three below"),
        (lambda f: (f / "spiece.model").unlink(), "spiece.model: no such file"),
        (lambda f: (f / "spiece.model").write_bytes(b"no"), "not a SentencePiece model"),
        (lambda f: (f / "model.safetensors").unlink(), "neither pytorch_model.bin nor"),
        (lambda f: (f / "model.safetensors").write_bytes(b"12345678"), "cannot be read"),
        (lambda f: (f / "config.json").unlink(), "config.json: no such file"),
    ],
)  # fmt: skip
def test_a_folder_that_does_not_fit_is_one_line_and_leaves_nothing(tmp_path, spoil, message):
    folder, _ = t5_folders.write_folder(tmp_path / "theirs")
    spoil(folder)
    with pytest.raises(UserError, match=message) as caught:
        import_t5.import_t5(folder, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_safetensors_that_is_not_installed_is_one_line(tmp_path, monkeypatch):
    folder, _ = t5_folders.write_folder(tmp_path / "theirs")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(UserError, match="needs the package safetensors; install it"):
        import_t5.import_t5(folder, tmp_path / "run")


@pytest.mark.parametrize("module", [import_t5, export_t5])
def test_help_names_the_format(module, capsys):
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0 and "Hugging Face folder" in capsys.readouterr().out


# --init-from


def fresh(config, vocabulary):
    """A new model as a task would build it."""
    task = SimpleNamespace(source_dictionary=vocabulary.dictionary())
    return HfT5Model.build_model(config, task)


@pytest.fixture
def imported(tmp_path):
    """(folder of theirs, run of ours, vocabulary, configuration)."""
    folder, _ = t5_folders.write_folder(tmp_path / "theirs", **KINDS["v1.1"])
    import_t5.import_t5(folder, tmp_path / "run")
    saved = read_run(tmp_path / "run")
    return folder, tmp_path / "run", Vocabulary.load(saved.vocabulary), HfT5Config(**saved.config)


def test_a_new_model_begins_with_a_folder_of_theirs_or_a_run_of_ours(imported):
    folder, run, vocabulary, config = imported
    expected = read_run(run).state
    for source in (folder, run, run / "checkpoint_last.pt"):
        model = fresh(config, vocabulary)
        initialize_from(model, config, vocabulary, source)
        state = model.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], expected[key]) for key in state)


def test_other_sizes_are_listed_as_options(imported):
    folder, _, vocabulary, config = imported
    config.encoder_layers, config.untied_output = 2, False
    with pytest.raises(UserError, match=r"it has --encoder-layers 3 --untied-output, but here"):
        initialize_from(fresh(config, vocabulary), config, vocabulary, folder)


def test_another_vocabulary_is_refused(imported, tmp_path):
    _, run, vocabulary, config = imported
    other, _ = t5_folders.write_folder(
        tmp_path / "other", tokenizer=t5_folders.tokenizer_model(words=WORDS[2:]), **KINDS["v1.1"]
    )
    with pytest.raises(UserError, match="is another than"):
        initialize_from(fresh(config, vocabulary), config, vocabulary, other)
    shutil.rmtree(run / "vocab")
    with pytest.raises(UserError, match="no folder vocab beside it"):
        initialize_from(fresh(config, vocabulary), config, vocabulary, run)


def test_a_checkpoint_of_another_model_is_refused(imported, tmp_path):
    _, _, vocabulary, config = imported
    torch.save({"model": {"w": torch.zeros(1)}, "cfg": {"model": {"_name": "x"}}},
               tmp_path / "x.pt")  # fmt: skip
    with pytest.raises(UserError, match=r"not a checkpoint of hf_t5 \(it is of x\)"):
        initialize_from(fresh(config, vocabulary), config, vocabulary, tmp_path / "x.pt")
