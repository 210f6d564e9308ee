"""The kernels' benchmark: all versions of a problem do the same work, and rows say how fast."""

import json

import pytest
import torch

from benchmarks import kernels as benchmark
from benchmarks.kernel_problems import USES, Attention, HeadLoss, ResidualNorm

PROBLEMS = {
    **{f"attention {use}": (Attention, use, (2, 10, 2, 4)) for use in USES},
    "norm": (ResidualNorm, "post", (5, 6)),
    "head": (HeadLoss, "corrective", (5, 6, 11)),
    "auxiliary head": (HeadLoss, "auxiliary", (5, 6, 11)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_all_versions_give_the_same_gradients(name):
    kind, use, sizes = PROBLEMS[name]
    problem = kind(use, sizes, 0.0, "cpu", torch.float32)
    versions = problem.versions(on_gpu=False)
    versions.pop("sdpa flash", None)  # not on a CPU with a bias that learns
    problem.step(versions.pop("eager"))
    expected = [x.grad.clone() for x in problem.changed if x.grad is not None]
    assert expected and all(x.abs().max() > 0 for x in expected)
    for version in versions.values():
        problem.step(version)
        found = [x.grad for x in problem.changed if x.grad is not None]
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_version_that_cannot_run_says_why_and_the_others_how_fast():
    problem = ResidualNorm("post", (512, 64), 0.0, "cpu", torch.float32)
    found = benchmark.measure(problem, lambda: 1 / 0, False, 2)
    assert found == {"refused": "ZeroDivisionError: division by zero"}
    found = benchmark.measure(problem, problem.versions(False)["eager"], False, 2)
    assert found["gb_per_s"] > 0 and found["ms_10_90"][0] <= found["ms_10_90"][1]


def test_rows_are_appended_until_the_time_is_over(tmp_path, monkeypatch):
    small = [("attention", Attention, "decoder", (1, 4, 1, 4), 0.1)]
    monkeypatch.setattr(benchmark, "plan", lambda on_gpu: small)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "rows.jsonl"
    benchmark.main(["--out", str(out), "--repeats", "2"])
    benchmark.main(["--out", str(out), "--seconds", "-1"])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    names = [row["row"] for row in rows]
    expected = ["eager", "ours", "sdpa flash", "sdpa math"]
    assert sorted(names) == [f"cpu attention decoder, {version}" for version in expected]
    assert all("refused" in row or row["tflops"] >= 0 for row in rows)
