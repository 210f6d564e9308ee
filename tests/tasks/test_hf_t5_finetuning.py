"""A model of Hugging Face's through the whole of it: imported, fine-tuned, exported, asked there."""

import pytest
import torch

import fairseq_metro
from fairseq_metro.interchange import export_t5, import_t5
from fairseq_metro.vocabulary.folder import Vocabulary
from tests import prompted
from tests.interchange import t5_folders
from tests.tasks.test_prompt_finetuning import LENGTHS, NAME, PLUGIN
from tests.training import OPTIMIZATION, QUIET, call

transformers = pytest.importorskip(
    "transformers", reason="the reference, transformers, is not installed"
)
WORDS = [*prompted.KINDS, *prompted.THINGS, *"the is ? yes no true false number 0 1 2 .".split()]
TEXTS = ["the old river . is the river old ?", "stone river house . number 1 ?"]
SIZES = "--embed-dim=20 --head-dim=6 --ffn-dim=28 --attention-heads=4 --encoder-layers=3"


def test_imported_tuned_exported_and_asked_there(tmp_path):
    theirs, _ = t5_folders.write_folder(
        tmp_path / "theirs",
        tokenizer=t5_folders.tokenizer_model(words=WORDS),
        **t5_folders.KINDS["v1.1"],
    )
    import_t5.import_t5(theirs, tmp_path / "run")
    vocabulary = Vocabulary.load(tmp_path / "run" / "vocab")
    data = prompted.folder(tmp_path / "data", vocabulary.path)
    words = [data, PLUGIN, NAME, "--arch=hf_t5_v1_1_small", *SIZES.split(), "--decoder-layers=2"]
    words += ["--criterion=prompt_finetuning", "--max-tokens=600", "--cpu", "--num-workers=0"]
    words += [*LENGTHS, *OPTIMIZATION, *QUIET, f"--save-dir={tmp_path / 'tuned'}"]
    log = call("train", [*words, f"--init-from={theirs}", "--max-update=25", "--lr=1e-2"])
    losses = list(log.losses().values())
    assert float(losses[-1]) < float(losses[0]) - 1

    assert export_t5.main([str(tmp_path / "tuned"), "--out", str(tmp_path / "back")]) == 0
    model = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "back").eval()
    tokenizer = transformers.T5Tokenizer.from_pretrained(tmp_path / "back")
    predictor = fairseq_metro.load(tmp_path / "tuned", device="cpu")
    assert predictor.decoder_start == vocabulary.indices["<pad>"]
    ours = predictor.score_choices(TEXTS, ["yes", "no", "river"])
    for text, numbers in zip(TEXTS, ours, strict=True):
        source = tokenizer(text, return_tensors="pt")
        for choice, number in zip(("yes", "no", "river"), numbers, strict=True):
            target = tokenizer(choice, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                loss = model(**source, labels=target).loss  # mean over the target, </s> included
            assert number == pytest.approx(-float(loss) * target.size(1), rel=1e-4)
    (answer,) = predictor.generate(TEXTS[:1], beam=1, max_len_b=6)
    found = model.generate(**tokenizer(TEXTS[0], return_tensors="pt"), max_new_tokens=7)
    assert answer == tokenizer.decode(found[0], skip_special_tokens=True)


def test_pretrained_with_a_vocabulary_of_ours_and_exported(data, tmp_path):
    """Ids stay as they are: theirs are told where <pad> and </s> stand."""
    words = [data, PLUGIN, "--task=t5", "--arch=hf_t5_tiny", "--criterion=t5", "--cpu"]
    words += ["--tokens-per-sample=32", "--batch-size=4", "--mask-multiple-length=3"]
    words += ["--num-workers=0", *OPTIMIZATION, *QUIET, f"--save-dir={tmp_path / 'run'}"]
    losses = list(call("train", [*words, "--max-update=6"]).losses().values())
    assert float(losses[-1]) < float(losses[0]) - 1
    assert export_t5.main([str(tmp_path / "run"), "--out", str(tmp_path / "back")]) == 0
    model = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "back")
    config, vocabulary = model.config, Vocabulary.load(data / "vocab")
    assert (config.pad_token_id, config.eos_token_id, config.decoder_start_token_id) == (1, 2, 2)
    assert model.shared.num_embeddings == len(vocabulary)
    # Its class is ours, in the folder: theirs cannot say what our normalisation does.
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        tmp_path / "back", trust_remote_code=True
    )
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == [
            *vocabulary.source_prefix,
            *vocabulary.encode(text),
            2,
        ]
    for symbol in (vocabulary.roles["mask"], *vocabulary.roles["sentinels"]):
        assert tokenizer.convert_tokens_to_ids(symbol) == vocabulary.indices[symbol]
