"""The criterion on real batches: invariances, and the mask's place, against all positions' logits."""

from types import SimpleNamespace

import pytest
import torch

from fairseq_metro.criterions.prompt_distillation import PromptDistillationCriterion
from fairseq_metro.criterions.teacher_signals import OnlineTeachers
from fairseq_metro.data.intermediate_dataset import IntermediateDataset, IntermediatePrompts
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.interchange.teachers import Teacher, parameters_hash
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.distillation import make_data, write_teacher


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(dataset, teacher's model, student) of one vocabulary."""
    folder = tmp_path_factory.mktemp("made")
    data = make_data(folder)
    vocabulary = Vocabulary.load(data / "vocab")
    prompts = IntermediatePrompts(data, "train", vocabulary.index("mask"))
    dataset = IntermediateDataset(prompts, pad=1, seed=1, shuffle=True)
    teacher, _ = load_roberta(write_teacher(folder / "teacher", encoder_layers=2))
    student, _ = load_roberta(write_teacher(folder / "student", seed=3, encoder_layers=1))
    return dataset, teacher, student


def criterion(teacher, hidden=0.0, attention=0.0, temperature=1.0, distillation="ce"):
    signal = lambda *wanted: OnlineTeachers([Teacher(teacher, "made up")], *wanted)  # noqa: E731
    task = SimpleNamespace(
        teacher_signal=signal, rule_words=lambda: [9, 5, 20],
        target_dictionary=SimpleNamespace(pad=lambda: 1),
    )  # fmt: skip
    return PromptDistillationCriterion(task, distillation, temperature, hidden, attention)


def batch(dataset, *indices):
    return dataset.collater([dataset[index] for index in indices])


def test_the_loss_is_the_cross_entropy_at_the_mask_in_float64(made):
    dataset, teacher, student = made
    indices = [0, 7, 30, 59]
    loss, size, log = criterion(teacher, temperature=2.0)(student, batch(dataset, *indices))
    total = agree = entropy = 0.0
    for index in indices:  # each alone, all positions' logits, the place of the mask found anew
        tokens = torch.from_numpy(dataset.prompts.tokens(index))[None]
        (place,) = tokens[0].eq(dataset.prompts.tokens(0)[dataset.prompts.mask[0]]).nonzero()[0]
        q, s = (model(tokens)[0, place].double() / 2 for model in (teacher, student))
        total -= float((q.softmax(-1) * s.log_softmax(-1)).sum().detach())
        entropy -= float((q.softmax(-1) * q.log_softmax(-1)).sum())
        agree += int(q.argmax() == s.argmax())
    assert size == log["sample_size"] == 4
    assert float(log["ce"]) == pytest.approx(total, rel=1e-5)
    assert float(loss.detach()) == pytest.approx(4 * total, rel=1e-5)  # temperature squared
    assert float(log["teacher_entropy"]) == pytest.approx(entropy, rel=1e-5)
    assert float(log["agree"]) == agree


def gradients(student, loss):
    student.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}


def test_order_and_micro_batches_and_padding_do_not_matter(made):
    dataset, teacher, student = made
    for weights in ({}, {"hidden": 0.5, "attention": 0.5}):
        measure = criterion(teacher, **weights)
        student.requires_grad_()
        whole = measure(student, batch(dataset, 0, 7, 30, 59))[0]
        expected = gradients(student, whole)
        parts = [measure(student, batch(dataset, *some))[0] for some in ((59, 7), (0,), (30,))]
        torch.testing.assert_close(sum(parts), whole, rtol=1e-5, atol=1e-5)
        for name, grad in gradients(student, sum(parts)).items():
            torch.testing.assert_close(grad, expected[name], rtol=1e-3, atol=1e-4)
        wide = batch(dataset, 0, 7)
        width = wide["net_input"]["src_tokens"].size(1)
        wide["net_input"]["src_tokens"] = torch.nn.functional.pad(
            wide["net_input"]["src_tokens"], (0, 9), value=1
        )
        wide["net_input"]["masked_index"] += torch.tensor([0, 9])
        wide["net_input"]["padded"] = True
        assert wide["net_input"]["src_tokens"].size(1) == width + 9
        torch.testing.assert_close(
            measure(student, wide)[0], measure(student, batch(dataset, 0, 7))[0],
            rtol=1e-5, atol=1e-5,
        )  # fmt: skip


def test_the_teacher_stays_as_it_is(made):
    dataset, teacher, student = made
    before = parameters_hash(teacher)
    measure = criterion(teacher.train(), hidden=0.1)  # whoever left it in training mode
    student.requires_grad_().train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01)
    for _ in range(2):
        measure(student, batch(dataset, 0, 1))[0].backward()
        optimizer.step()
    student.eval()
    assert parameters_hash(teacher) == before and not teacher.training
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert not list(measure.parameters()) and not measure.state_dict()


def test_rule_labels_among_label_words(made):
    dataset, teacher, student = made
    sample = batch(dataset, 0, 7, 30)
    loss, _, log = criterion(teacher, distillation="rule")(student, sample)
    rows = student(**sample["net_input"]).double()[:, [9, 5, 20]].log_softmax(-1)
    labels = [int(dataset.prompts.label[index]) for index in (0, 7, 30)]
    expected = -sum(float(rows[row, label].detach()) for row, label in enumerate(labels))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert int(log["rule_correct"]) == sum(
        int(rows[row].argmax()) == label for row, label in enumerate(labels)
    )
