"""evaluate/generation.py: metrics by hand and by their packages, and a whole evaluation."""

import sys

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.command import main
from fairseq_metro.evaluate.generation import exact_match, f1, measure
from fairseq_metro.evaluate.results import read_results


@pytest.mark.parametrize(
    ("text", "target", "same", "shared"),
    [
        ("The river!", "river", True, 1.0),
        ("an old stone house", "the stone house", False, 2 * 2 / (3 + 2)),
        ("stone stone", "stone", False, 2 / 3),
        ("", "the", True, 1.0),
        ("", "river", False, 0.0),
    ],
)
def test_exact_match_and_f1_are_squads(text, target, same, shared):
    assert exact_match(text, target) == same
    assert f1(text, target) == pytest.approx(shared)


def test_bleu_is_sacrebleus_of_the_corpus():
    sacrebleu = pytest.importorskip("sacrebleu")
    texts, targets = (
        ["the cat sat on the mat", "a dog"],
        ["the cat sat on a mat", "a big dog barks"],
    )
    whole, each = measure("bleu", texts, targets)
    assert whole == pytest.approx(sacrebleu.corpus_bleu(texts, [targets]).score / 100)
    assert len(each) == 2 and measure("bleu", targets, targets)[0] == pytest.approx(1.0)


def test_rouge_is_of_its_package():
    pytest.importorskip("rouge_score", reason="rouge-score is not installed")
    whole, each = measure("rougeL", ["the cats sat", "x"], ["the cat sat down", "y"])
    assert each == pytest.approx([2 * 1 * 0.75 / 1.75, 0.0]) and whole == pytest.approx(each[0] / 2)


@pytest.mark.parametrize(("name", "package", "wheel"), [
    ("rouge1", "rouge_score.rouge_scorer", "rouge-score"), ("bleu", "sacrebleu", "sacrebleu"),
])  # fmt: skip
def test_a_missing_package_is_one_line(monkeypatch, name, package, wheel):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"{name} needs {wheel}: pip install {wheel}"):
        measure(name, ["a"], ["b"])


def test_no_texts_have_no_value():
    assert measure("f1", [], []) == (None, [])


def test_a_generating_set_beside_a_ranked_one(toys, tmp_path):
    suite = tmp_path / "both.yaml"
    suite.write_text(
        (toys / "suite.yaml").read_text()
        + """
  - dataset: toy/kind
    name: said
    kind: generate
    metrics: [f1, exact_match, bleu]
    beam: 2
    max_length: 5
    prompts: {say: "{{text}} ||| {{text}}"}
"""
    )
    words = [toys / "model", "--suite", suite, "--tasks", toys / "tasks", "--limit", 6]
    words += ["--device", "cpu", "--out", tmp_path / "out"]
    pytest.importorskip("sacrebleu")
    assert main(list(map(str, words))) == 0
    result = read_results(tmp_path / "out")["said_say"]
    each = result["per_example"]
    assert len(each["output"]) == 6 and result["main"] == "f1" and result["hits"] is None
    assert result["value"] == pytest.approx(sum(each["f1"]) / 6, abs=1e-5)
    assert "said (f1)" in (tmp_path / "out" / "report.md").read_text()
