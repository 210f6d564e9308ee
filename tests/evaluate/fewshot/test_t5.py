"""T5 in the grid: the second generated token, its rows, its teacher, one answer."""

import json

import pytest
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.fewshot.command import main
from fairseq_metro.evaluate.fewshot.scorers import WordScorer
from fairseq_metro.evaluate.fewshot.training import predict, scores_of
from fairseq_metro.interchange.mask_models import load_mask_model
from fairseq_metro.interchange.model import HF_T5, MAIN
from fairseq_metro.smash.examples import Example
from fairseq_metro.smash.tasks import load_task
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples
from tests import fewshot


@pytest.fixture(scope="module", params=[MAIN, HF_T5])
def t5(request, tmp_path_factory):
    kind = request.param
    return str(fewshot.write_model(tmp_path_factory.mktemp(kind) / "run", kind=kind))


def test_the_scores_are_those_of_the_token_after_the_sentinel(t5):
    task = load_task("stsb")
    texts = [("the river", "A stone house"), ("a letter of winter", "No"), ("", "the garden")]
    examples = [Example(each, 1.0) for each in texts]
    model, tok, decoder_input = load_mask_model(t5)
    vocabulary = tok.vocabulary
    sentinel = vocabulary.sentinel_indices[0]
    start = vocabulary.index("pretraining_decoder_start")
    data = PromptedExamples.of_task(task, examples, tok, decoder_input=decoder_input)
    found = scores_of(WordScorer(model, task.verbalizer(tok).ids), data)
    words = [tok.encode(f" {word}")[0] for word in ("No", "Yes")]
    for example, scores in zip(examples, found, strict=True):
        one, two = example.sentences
        comma = vocabulary.indices[","]
        # x0<extra_id_0>, x1 </s>: the mask's place is the sentinel's, nothing else changes.
        two = two[:1].lower() + two[1:]
        ids = [*vocabulary.source_prefix, *tok.encode(one), sentinel, comma]
        ids = [*ids, *tok.encode(" " + two), vocabulary.indices["</s>"]]
        source, lengths = torch.tensor([ids]), torch.tensor([len(ids)])
        logits, _ = model(source, lengths, torch.tensor([[start, sentinel]]))
        assert scores.tolist() == pytest.approx(logits[0, 1, words].tolist(), abs=1e-4)
    assert found.std() > 0.01
    assert len(predict(WordScorer(model, words), data, task.interval)) == len(examples)


def test_rows_of_t5_with_its_teacher_and_one_answer(t5, splits, tmp_path, capsys):
    teacher = str(fewshot.write_model(tmp_path / "teacher", seed=3, kind=HF_T5))
    words = ["--model", t5, "--kshot", str(splits / "kshot"), "--task", "sst2", "--seeds", "13"]
    words += "--lr 1e-2 --batch 4 --steps 4 --every 2 --k 4 --device cpu --jobs 2".split()
    words += ["--out", str(tmp_path / "out")]
    assert main([*words, "--teacher", teacher]) == 0
    lines = (tmp_path / "out" / "cells.jsonl").read_text().splitlines()
    ours = {c["row"]: c for c in map(json.loads, lines) if c["model"] != teacher}
    assert ours.keys() == {"majority", "zero-shot", "prompt", "kd"}  # a new head is RoBERTa's
    assert ours["kd"]["losses"] != ours["prompt"]["losses"]
    with pytest.raises(UserError, match="is a T5; leave it out"):
        main([*words, "--rows", "head"])
    capsys.readouterr()
    assert main(["predict", t5, "--task", "sst2", "--text", "the river"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
