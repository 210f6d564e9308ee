"""The card of an exported folder: its code runs, its numbers are the model's."""

import json
import re

import pytest
import torch

import fairseq_metro
from fairseq_metro.interchange import export_hf
from fairseq_metro.interchange.import_t5 import import_t5
from fairseq_metro.interchange.model import Model
from fairseq_metro.interchange.model_card import model_card
from fairseq_metro.interchange.training_facts import facts_of
from tests.interchange import exports, t5_folders
from tests.interchange.exports import modules_cache  # noqa: F401  a fixture

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
fairseq_metro.register()
KINDS = {
    "metro_t5": "AutoModelForSeq2SeqLM",
    "t5_transformer": "AutoModelForSeq2SeqLM",
    "hf_t5": "AutoModelForSeq2SeqLM",
    "roberta_mlm": "AutoModelForMaskedLM",
}


@pytest.mark.parametrize("name", KINDS)
def test_the_code_of_a_card_runs_and_its_numbers_are_right(
    tmp_path,
    vocabulary,
    modules_cache,  # noqa: F811
    capsys,
    name,
):
    # transformers' own caches of a T5 have as many layers as its encoder
    changes = {"decoder_layers": 2} if name == "hf_t5" else {}
    run, ours = exports.write_run(tmp_path / "run", vocabulary, name, **changes)
    options = {"with_auxiliary": True} if name == "metro_t5" else {}
    export_hf.export_hf(run, tmp_path / "hf", **options)
    card = (tmp_path / "hf" / "README.md").read_text("utf-8")
    task = {"roberta_mlm": "fill-mask"}.get(name, "text2text-generation")
    assert f"pipeline_tag: {task}\n" in card and f"# {name}\n" in card
    assert f"import {KINDS[name]}," in card
    names = run_code(card, tmp_path / "hf")
    if name == "roberta_mlm":
        assert names["logits"].size(-1) == len(vocabulary)
    else:
        assert capsys.readouterr().out.strip().startswith("[")  # a list of one text
    parameters = sum(p.numel() for p in ours.parameters())
    assert f"| parameters | {parameters:,} |" in card
    assert f"| vocab_size | {len(vocabulary)} |" in card
    width = (
        "d_model" if name == "hf_t5" else "hidden_size" if name == "roberta_mlm" else "embed_dim"
    )
    assert f"| {width} | 16 |" in card
    assert f"| vocabulary | sha256 {vocabulary.hash[:12]} |" in card
    assert f"| data | sha256 {'f' * 12} |" in card
    assert "dropout" not in card.split("## Training")[0].split("## Model")[1]


def run_code(card, folder):
    """The names that a card's Python block leaves."""
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert code.count('"FOLDER"') == 2
    names = {}
    with torch.no_grad():
        exec(code.replace("FOLDER", str(folder)), names)
    return names


def test_a_stock_t5_needs_no_code_and_says_so(tmp_path):
    theirs, _ = t5_folders.write_folder(tmp_path / "theirs")
    import_t5(theirs, tmp_path / "run")
    export_hf.export_hf(tmp_path / "run", tmp_path / "hf")
    card = (tmp_path / "hf" / "README.md").read_text("utf-8")
    assert "trust_remote_code" not in card and "It needs no code of its own." in card
    assert "| imported from | theirs |" in card  # of the path its last part
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert str(tmp_path) not in json.dumps(config) + card


def test_no_folder_of_the_machine_goes_along_wherever_it_stands():
    stamp = {"command": "/a/b/train /c/d --x /e/f", "files": ["/g/h", {"at": ("/i/j", 3)}]}
    facts = facts_of(
        Model("metro_t5", {}, {}, None, "", 7, {**stamp, "title": "Old", "updates": 5})
    )
    assert facts == {
        "title": "Old", "architecture": "metro_t5", "updates": 7,
        "stamp": {"command": "train d --x f", "files": ["h", {"at": ["j", 3]}]},
    }  # fmt: skip


def test_a_title_and_a_table_keep_their_form():
    facts = {"title": "Mine", "architecture": "t5_transformer", "updates": 1234567,
             "stamp": {"command": "fairseq-train a\nb | c", "data": ["0" * 64, "1" * 64]}}  # fmt: skip
    card = model_card(facts, {"embed_dim": 8}, 10, True)
    assert "| command | `fairseq-train a b \\| c` |" in card
    assert "| updates | 1,234,567 |" in card
    assert f"| data | sha256 {'0' * 12}, sha256 {'1' * 12} |" in card
    assert "| fairseq_metro | unknown, commit unknown |" in card and "imported from" not in card
    for line in card.splitlines():
        assert not line.startswith("|") or line.endswith("|")
