"""Fine-tuning's loss against a float64 loop over tokens; packed rows; totals that add up."""

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.logging import metrics

from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.prompt_finetuning import PromptFinetuningCriterion
from fairseq_metro.data.prompted_dataset import PromptedDataset
from fairseq_metro.data.prompted_files import open_split
from tests import prompted, tiny

TASKS = 3


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    data, rng = tmp_path_factory.mktemp("prompted"), random.Random(4)
    tasks = [{"name": f"task{i}", "pairs": prompted.random_pairs(rng, 6)} for i in range(TASKS)]
    prompted.write_split(data, "train", tasks)
    return open_split(data, "train")


def dataset(split, pack=False):
    task, row = np.repeat(np.arange(TASKS), 6), np.tile(np.arange(6), TASKS)
    words = tiny.dictionary()
    return PromptedDataset(
        split, lambda epoch: (task, row), name="train", source_prefix=[words.bos()],
        pad=words.pad(), eos=words.eos(), decoder_start=words.eos(), max_source_length=40,
        max_target_length=24, seed=1, shuffle=True, pack=pack,
    )  # fmt: skip


def whole(split, pack=False):
    data = dataset(split, pack)
    return data.collater([data[i] for i in range(len(data))])


def criterion(label_smoothing=0.0):
    return PromptFinetuningCriterion(tiny.task(), label_smoothing)


def pairs(split):
    """Every (task, source, target) as lists of ids, straight from the files' contents."""
    for place, task in enumerate(split.tasks):
        for row in range(task.rows):
            lines = []
            for side in (task.source, task.target):
                ends = np.cumsum(side.sizes)
                lines.append(side.tokens[ends[row] - side.sizes[row] : ends[row]].tolist())
            yield place, [tiny.dictionary().bos(), *lines[0]], lines[1]


def looped(model, split, epsilon):
    """(loss, nll, correct, tokens, nll by task), token by token in float64, one pair at a time."""
    model = model.double()
    loss = nll = correct = tokens = 0
    by_task = [0.0] * TASKS
    for task, source, target in pairs(split):
        given = [tiny.dictionary().eos()]
        for token in target:
            logits = model(torch.tensor([source]), None, torch.tensor([given]))[0][0, -1].tolist()
            log_sum = math.log(sum(math.exp(value) for value in logits))
            log_p = [value - log_sum for value in logits]
            share = epsilon / (len(log_p) - 1)
            loss -= (1 - epsilon) * log_p[token]
            loss -= share * sum(value for v, value in enumerate(log_p) if v != token)
            nll -= log_p[token]
            by_task[task] -= log_p[token]
            correct += max(range(len(log_p)), key=log_p.__getitem__) == token
            tokens += 1
            given.append(token)
    model.float()
    return loss, nll, correct, tokens, by_task


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_the_loss_is_the_float64_loops(split, epsilon):
    model = tiny.t5()
    loss, nll, correct, tokens, by_task = looped(model, split, epsilon)
    found, size, output = criterion(epsilon)(model, whole(split), n_tasks=TASKS)
    assert size == output["sample_size"] == tokens
    assert found.item() == pytest.approx(loss, rel=1e-5)
    assert output["nll_loss"].item() == pytest.approx(nll, rel=1e-5)
    assert output["token_correct"] == correct
    assert output["task_loss"].tolist() == pytest.approx(by_task, rel=1e-5)
    assert output["task_tokens"].sum() == tokens
    assert (loss == pytest.approx(nll)) == (epsilon == 0)


def gradients(model, sample):
    model.zero_grad()
    loss, size, _ = criterion()(model, sample)
    (loss / size).backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters()}


def test_packed_rows_have_the_loss_and_the_gradients_of_single_examples(split):
    model = tiny.t5()
    packed, plain = whole(split, pack=True), whole(split)
    assert len(packed["id"]) < len(plain["id"]) and packed["nsentences"] == plain["nsentences"]
    loss, expected = gradients(model, plain)
    found, ours = gradients(model, packed)
    assert found == pytest.approx(loss, rel=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_examples_that_saw_one_another_would_have_another_loss(split):
    """The test above would fail without segments."""
    model, packed = tiny.t5(), whole(split, pack=True)
    right = criterion()(model, packed)[0].item()
    for name in ("source_segments", "target_segments"):
        packed["net_input"][name] = packed["net_input"][name].clamp(max=1)
    assert abs(criterion()(model, packed)[0].item() - right) > 0.1


def logged(outputs):
    with metrics.aggregate(new_root=True) as aggregate:
        PromptFinetuningCriterion.reduce_metrics(outputs)
    return aggregate.get_smoothed_values()


def test_the_log_is_the_same_for_one_batch_and_for_its_halves(split):
    model, data, loss = tiny.t5(), dataset(split), criterion()
    samples = [data[i] for i in range(len(data))]
    parts = [data.collater(samples[:5]), data.collater(samples[5:])]
    whole_log = logged([loss(model, data.collater(samples))[2]])
    halves = logged([loss(model, part)[2] for part in parts])
    assert set(whole_log) == {
        "loss", "nll_loss", "token_accuracy", "padding_share", "target_tokens"
    }  # fmt: skip
    for name in ("loss", "nll_loss", "token_accuracy", "target_tokens"):
        assert halves[name] == pytest.approx(whole_log[name], rel=1e-5), name
    padded, real = (sum(part[key] for part in parts) for key in ("size", "ntokens"))
    assert halves["padding_share"] == pytest.approx(1 - real / padded, abs=1e-6)


@pytest.mark.parametrize("epsilon", [-0.1, 1.0])
def test_an_impossible_smoothing_is_refused(epsilon):
    with pytest.raises(UserError, match="--label-smoothing is"):
        PromptFinetuningCriterion(SimpleNamespace(target_dictionary=tiny.dictionary()), epsilon)
