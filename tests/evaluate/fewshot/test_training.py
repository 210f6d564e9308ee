"""A run against a plain torch loop, the choice of a checkpoint, predictions in their order."""

import copy

import pytest
import torch

from fairseq_metro.evaluate.fewshot import training
from fairseq_metro.evaluate.fewshot.cells import HEADS
from fairseq_metro.evaluate.fewshot.scorers import (
    LMBFF,
    HeadScorer,
    WordScorer,
    head_examples,
    set_dropout,
)
from fairseq_metro.evaluate.fewshot.trained_rows import WholeTable
from fairseq_metro.evaluate.fewshot.training import Schedule, earliest_best, fine_tune, predict
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.smash.examples import read_split
from fairseq_metro.smash.tasks import load_task
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples

TABLE = "model.encoder.embed_tokens.weight"


@pytest.fixture
def parts(model, splits):
    task = load_task("sst2")
    loaded, tok = load_roberta(model)
    set_dropout(loaded, 0.0)
    folder = splits / "kshot" / "SST-2" / "4-13"
    examples = {name: read_split(task, folder, name) for name in ("train", "dev", "test")}
    return task, loaded, tok, examples


def test_a_run_equals_a_plain_loop_of_torch(parts):
    task, model, tok, examples = parts
    twin = copy.deepcopy(model).train()
    train, dev = (PromptedExamples.of_task(task, examples[s], tok) for s in ("train", "dev"))
    schedule = Schedule(lr=1e-2, batch=3, steps=6, every=2)
    found = fine_tune(WordScorer(model, task.verbalizer(tok).ids), task, train, dev, schedule)

    words = {"0": tok.encode(" terrible")[0], "1": tok.encode(" great")[0]}
    optimizer = torch.optim.AdamW(twin.parameters(), lr=1e-2, weight_decay=0.0)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 6)
    batches, losses = training.batches_of(train, schedule), []
    for _ in range(6):
        batch, total = next(batches), 0.0
        for i in batch:
            prompt = task.build(examples["train"][i].sentences, tok)
            logits = twin(torch.tensor([prompt.ids]))[0, prompt.mask_position]
            both = torch.stack([logits[words["0"]], logits[words["1"]]])
            total = total - both.log_softmax(0)[int(examples["train"][i].label)] / len(batch)
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()
        decay.step()
        losses.append(total.item())
    assert found.losses == pytest.approx(losses, rel=1e-3)
    assert len(found.dev) == 3 and losses[0] != losses[-1]


@pytest.mark.parametrize("kind", [WordScorer, HeadScorer])
def test_a_small_table_of_the_splits_tokens_trains_as_the_whole_one(kind, parts, monkeypatch):
    """With dropout, too: the same numbers are drawn. Rows of other tokens are not touched."""
    task, model, tok, examples = parts
    set_dropout(model, 0.1)
    train, dev = (PromptedExamples.of_task(task, examples[s], tok) for s in ("train", "dev"))
    words, found = task.verbalizer(tok).ids, []
    for whole in (False, True):
        torch.manual_seed(3)
        own = copy.deepcopy(model)
        scorer = WordScorer(own, words) if kind is WordScorer else HeadScorer(own, 2, 0.1)
        if whole:
            monkeypatch.setattr(training, "trained_rows", lambda *_: WholeTable())
        run = fine_tune(scorer, task, train, dev, Schedule(1e-2, 2, 12, 4))
        found.append((run.losses, scorer.state_dict()))
    (losses, ours), (expected, theirs) = found
    assert losses == pytest.approx(expected, rel=1e-4)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-4, msg=name)
    table, before = ours[TABLE], model.encoder.embed_tokens.weight
    used = {token for row in train.rows for token in row} | set(words)
    others = [token for token in range(len(table)) if token not in used]
    assert others and torch.equal(table[others], before[others])
    assert not torch.equal(table, before)


def test_what_is_left_is_the_earliest_best_look_at_dev(parts, monkeypatch):
    task, model, tok, examples = parts
    train = PromptedExamples.of_task(task, examples["train"], tok)
    scorer, seen = WordScorer(model, task.verbalizer(tok).ids), []
    values = iter([0.5, 0.75, 0.25, 0.75])

    def look(scorer, dataset, task):
        seen.append(scorer.model.lm_head.dense.weight.detach().clone())
        return next(values)

    monkeypatch.setattr(training, "metric_of", look)
    found = fine_tune(scorer, task, train, train, Schedule(1e-2, 2, 4, every=1))
    assert found.best == 1 == earliest_best(found.dev)
    assert torch.equal(model.lm_head.dense.weight, seen[1])
    assert not torch.equal(seen[1], seen[3])


def test_predictions_come_in_the_files_order_whatever_the_batches(parts, monkeypatch):
    task, model, tok, examples = parts
    data = PromptedExamples.of_task(task, examples["test"], tok)
    scorer = WordScorer(model, task.verbalizer(tok).ids).eval()
    monkeypatch.setattr(training, "EVALUATION_BATCH", 3)
    alone = []
    for example in examples["test"]:
        prompt = task.build(example.sentences, tok)
        logits = model.eval()(torch.tensor([prompt.ids]))[0, prompt.mask_position]
        terrible, great = (logits[tok.encode(f" {w}")[0]] for w in ("terrible", "great"))
        alone.append(int(great > terrible))
    assert predict(scorer, data, None).tolist() == alone


@pytest.mark.parametrize("form", HEADS)
def test_a_new_head_reads_the_sentence_without_prompt_and_learns(parts, form):
    task, model, tok, examples = parts
    train = head_examples(task, examples["train"], tok, form)
    text = examples["train"][0].sentences[0]
    assert train.rows[0] == [tok.bos, *tok.encode(text), tok.eos]
    torch.manual_seed(0)
    scorer = HeadScorer(model, 2, 0.0, form)
    found = fine_tune(scorer, task, train, train, Schedule(1e-2, 4, 40, every=20))
    assert max(found.dev) == 1.0 and found.losses[-1] < found.losses[0]


def test_the_papers_head_is_one_matrix_on_the_first_state(parts):
    """SMASH, section 3.1: softmax(W_o h), W_o of labels times width, and nothing else that is new."""
    task, model, tok, examples = parts
    data = head_examples(task, examples["test"], tok)
    scorer = HeadScorer(model, 5, 0.1)
    new = set(scorer.state_dict()) - {f"model.{name}" for name in model.state_dict()}
    (name,) = new
    matrix = scorer.state_dict()[name].double()
    assert matrix.shape == (5, model.encoder.embed_tokens.embedding_dim)
    expected = []
    for row in data.rows:
        states = model.eval().encode(torch.tensor([row])).last.detach().double()
        first = states.reshape(len(row), -1)[0]
        expected.append([sum(float(w) * float(h) for w, h in zip(line, first, strict=True))
                         for line in matrix])  # fmt: skip
    scores = training.scores_of(scorer, data).double()
    torch.testing.assert_close(scores, torch.tensor(expected).double(), rtol=1e-4, atol=1e-5)


def test_pairs_without_a_prompt_have_one_end_between_them_and_two_in_lmbffs_form(parts, splits):
    _, _, tok, _ = parts
    task = load_task("stsb")
    examples = read_split(task, splits / "kshot" / "STS-B" / "4-13", "train")
    data = head_examples(task, examples, tok)
    one, two = map(tok.encode, examples[0].sentences)
    assert data.rows[0] == [tok.bos, *one, tok.eos, *two, tok.eos]
    assert data.targets.dtype == torch.float32
    doubled = head_examples(task, examples, tok, LMBFF)
    assert doubled.rows[0] == [tok.bos, *one, tok.eos, tok.eos, *two, tok.eos]
