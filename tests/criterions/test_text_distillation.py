"""DistilBERT's objective over text, against a loop in float64; what it does not depend on."""

import math
from types import SimpleNamespace

import pytest
import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.criterions.prompt_distillation import PromptDistillationCriterion
from fairseq_metro.criterions.teacher_signals import OnlineTeachers
from fairseq_metro.interchange.roberta import load_roberta
from fairseq_metro.interchange.teachers import Teacher
from tests.distillation import write_teacher

PAD, MASK = 1, 5
# Source rows with noise, places that were chosen, their originals; the second row is padded.
ROWS = [[0, 5, 8, 9, 5, 11, 2], [0, 7, 30, 9, 2]]
PLACES, ORIGINALS = [[1, 4], [2]], [[12, 13], [14]]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    teacher, _ = load_roberta(write_teacher(folder / "teacher", encoder_layers=2))
    student, _ = load_roberta(write_teacher(folder / "student", seed=3, encoder_layers=1))
    return teacher, student


def sample_of(rows=(0, 1), extra=0):
    width = max(len(ROWS[row]) for row in rows) + extra
    tokens = torch.full((len(rows), width), PAD)
    masked, target = [], []
    for number, row in enumerate(rows):
        tokens[number, : len(ROWS[row])] = torch.tensor(ROWS[row])
        masked += [number * width + place for place in PLACES[row]]
        target += ORIGINALS[row]
    return {
        "net_input": {"src_tokens": tokens, "masked_index": torch.tensor(masked), "padded": True},
        "target": torch.tensor(target), "nsentences": len(rows),
        "ntokens": sum(len(ROWS[row]) for row in rows),
    }  # fmt: skip


def criterion(teacher, reads_text=True, distillation="mlm", temperature=1.0, **weights):
    signal = lambda temperature, hidden, attention, cosine: OnlineTeachers(  # noqa: E731
        [Teacher(teacher, "made up")], temperature, hidden or cosine, attention
    )
    task = SimpleNamespace(
        teacher_signal=signal, reads_text=reads_text,
        target_dictionary=SimpleNamespace(pad=lambda: PAD),
    )  # fmt: skip
    return PromptDistillationCriterion(task, distillation, temperature, 0.0, 0.0, **weights)


def expected(teacher, student, row, temperature, positions):
    """The three terms of one block, and the teacher's entropy, by loops in float64."""
    tokens = torch.tensor([ROWS[row]])
    s, ours = student(tokens, hidden=True)
    t, theirs = teacher(tokens, hidden=True)
    s, t = s[0].double().tolist(), t[0].double().tolist()

    def log_shares(logits, temperature):
        top = max(logits)
        total = math.log(sum(math.exp((x - top) / temperature) for x in logits))
        return [(x - top) / temperature - total for x in logits]

    asked = PLACES[row] if positions == "masked" else range(len(ROWS[row]))
    ce = entropy = mlm = cosine = 0.0
    for place in asked:
        log_q, log_p = log_shares(t[place], temperature), log_shares(s[place], temperature)
        ce -= sum(math.exp(a) * b for a, b in zip(log_q, log_p, strict=True)) / len(asked)
        entropy -= sum(math.exp(a) * a for a in log_q) / len(asked)
    for place, original in zip(PLACES[row], ORIGINALS[row], strict=True):
        mlm -= log_shares(s[place], 1.0)[original] / len(PLACES[row])
    for place in range(len(ROWS[row])):
        a, b = (x.last[0, place].double().tolist() for x in (ours, theirs))
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        norms = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
        cosine += (1 - dot / norms) / len(ROWS[row])
    return ce, mlm, cosine, entropy


@pytest.mark.parametrize("positions", ["all", "masked"])
def test_the_loss_is_that_of_a_loop_in_float64(models, positions):
    teacher, student = models
    loss, size, log = criterion(teacher, ce_positions=positions)(student, sample_of())
    both = [expected(teacher, student, row, 2.0, positions) for row in (0, 1)]
    ce, mlm, cosine, entropy = map(sum, zip(*both, strict=True))
    assert size == 2
    for name, value in (("ce", ce), ("mlm", mlm), ("cosine", cosine), ("teacher_entropy", entropy)):
        assert float(log[name]) == pytest.approx(value, rel=1e-5), name
    assert float(loss.detach()) == pytest.approx(5 * 4 * ce + 2 * mlm + cosine, rel=1e-5)
    found = criterion(
        teacher, mlm_temperature=3.0, ce_weight=0.5, mlm_weight=0.25, cosine_weight=7.0,
        ce_positions=positions,
    )  # fmt: skip
    both = [expected(teacher, student, row, 3.0, positions) for row in (0, 1)]
    ce, mlm, cosine, _ = map(sum, zip(*both, strict=True))
    value = float(found(student, sample_of())[0].detach())
    assert value == pytest.approx(0.5 * 9 * ce + 0.25 * mlm + 7 * cosine, rel=1e-5)


def test_order_padding_and_micro_batches_do_not_matter(models):
    teacher, student = models
    measure = criterion(teacher)
    whole = measure(student, sample_of())[0]
    parts = [measure(student, sample_of(rows, extra))[0] for rows, extra in (((1,), 0), ((0,), 9))]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-5, atol=1e-5)
    turned = measure(student, sample_of((1, 0), 3))[0]
    torch.testing.assert_close(turned, whole, rtol=1e-5, atol=1e-5)


def test_a_student_that_is_the_teacher_is_at_the_least(models):
    teacher, _ = models
    log = criterion(teacher)(teacher, sample_of())[2]
    assert float(log["ce"] - log["teacher_entropy"]) == pytest.approx(0, abs=1e-5)
    assert float(log["cosine"]) == pytest.approx(0, abs=1e-6) and float(log["agree"]) == 2.0


def test_a_block_without_a_masked_token_has_no_masked_lm(models):
    teacher, student = models
    for positions in ("all", "masked"):
        sample = sample_of((0,))
        sample["net_input"]["masked_index"] = torch.tensor([], dtype=torch.int64)
        sample["target"] = torch.tensor([], dtype=torch.int64)
        loss, _, log = criterion(teacher, ce_positions=positions)(student.train(), sample)
        student.eval()
        assert float(log["mlm"]) == 0 and math.isfinite(float(loss))
        loss.backward()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(reads_text=False), "the data folder holds prompts"),
        (dict(distillation="ce"), "the data folder holds text"),
        (dict(distillation="ce", reads_text=False, mlm_weight=1.0), "--mlm-weight is for"),
        (dict(distillation="ce", reads_text=False, ce_positions="masked"), "--ce-positions is for"),
        (dict(ce_weight=0.0, mlm_weight=0.0, cosine_weight=0.0), "are all 0"),
        (dict(cosine_weight=-1.0), "--cosine-weight is -1.0, must be 0 or more"),
        (dict(mlm_temperature=0.0), "--mlm-temperature is 0.0, must be above 0"),
        (dict(temperature=2.0), "leave them out, or give --mlm-temperature"),
    ],
)
def test_mistakes_are_one_line(models, changes, said):
    with pytest.raises(UserError, match=said):
        criterion(models[0], **changes)
