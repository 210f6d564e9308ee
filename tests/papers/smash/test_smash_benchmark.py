"""The SMASH experiment's report: differences paired by split, and what may be concluded."""

import json
import statistics

import pytest

from fairseq_metro.papers.smash.models import write_documents
from fairseq_metro.papers.smash.report import by_split, paired, write_report
from tests.papers.smash.results import cell

ABOUT = dict(prompts=9, updates=9, pieces=9, lrs="1", batch=1, steps=1, every=1, rows=1)
SEEDS = (13, 21, 42)


def cells(model, task, values, row="prompt"):
    return [cell(model, row, task, seed, value) for seed, value in zip(SEEDS, values, strict=True)]


def report(tmp_path, found):
    path = tmp_path / "smash.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in found))
    return write_report(path, tmp_path / "curves.jsonl", ABOUT, {"teacher": "large"})


def experiment(teacher):
    student = cells("student", "sst2", [0.50, 0.60, 0.70]) + cells("student", "subj", [0.6] * 3)
    smash = cells("smash-ce-single_sentence", "sst2", [0.52, 0.61, 0.73])
    return (
        student
        + smash
        + cells("teacher", "sst2", [teacher] * 3)
        + cells("teacher", "subj", [0.7] * 3)
    )


def test_differences_are_paired_by_split(tmp_path):
    text = report(tmp_path, experiment(0.8))
    error = statistics.stdev([2, 1, 3]) / 3**0.5
    assert f"SST-2 +2.0 ± {error:.1f}" in text
    assert "prompt fine-tuning: +2.0 on average over 1 tasks, above on 1 (SST-2)" in text
    assert "Beyond two standard errors of the paired difference: SST-2 +2.0" in text
    assert "SST-2: +20.0" in text and "says something about SMASH" in text
    assert "| 16 | smash | prompt | 62.0" in text and "- teacher: large" in text


def test_a_teacher_that_is_not_ahead_makes_the_table_uninformative(tmp_path):
    text = report(tmp_path, experiment(0.6))
    assert "uninformative" in text and "says something about SMASH" not in text


def test_of_several_runs_of_a_split_the_best_on_dev_counts():
    runs = [
        cell("student", "prompt", "sst2", 13, 0.9, dev=0.5),
        cell("student", "prompt", "sst2", 13, 0.3, dev=0.6, lr=1e-3),
    ]
    assert by_split(runs, "student", "prompt", "sst2") == {13: 30}
    assert paired({13: 30, 21: 10}, {13: 20, 42: 5}) == (10, None)
    assert paired({13: 1.0}, {}) is None


def test_books_become_documents_of_paragraphs(tmp_path):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text(
        "\n\n".join(f"part {i}\ngoes on" for i in range(25))
    )
    for name in ("movie_reviews", "abc", "inaugural", "state_union"):
        (tmp_path / f"{name}.txt").write_text(f"{name} one .\ntwo .\n\nnext .\n")
    write_documents(tmp_path, tmp_path / "out")
    documents = (tmp_path / "out").read_text().strip().split("\n\n")
    assert documents[:2] == ["movie_reviews one .\ntwo .", "next ."]
    assert documents[-2].split("\n")[0] == "part 0 goes on" and documents[-1].count("\n") == 4


def test_the_rival_computes_the_loss_of_equation_2():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from benchmarks.distill_rival import distillation_step, padded

    config = transformers.RobertaConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=16, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    student, teacher = (transformers.RobertaForMaskedLM(config).eval() for _ in range(2))
    rows, places = [[0, 5, 6, 2], [0, 7, 2]], [1, 1]
    ids, mask = padded(rows)
    with torch.no_grad():
        logits = [m(input_ids=ids, attention_mask=mask).logits.double() for m in (teacher, student)]
    wanted = 0.0
    for i, place in enumerate(places):
        q, p = (one[i, place].softmax(-1) for one in logits)
        wanted -= sum(float(q[v] * p[v].log()) for v in range(20)) / 2
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    assert distillation_step(student, teacher, optimizer, rows, places) == pytest.approx(
        wanted, 1e-5
    )
    assert distillation_step(student, teacher, optimizer, rows, places) < wanted
