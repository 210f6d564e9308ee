"""The throughput benchmark: its rows, and that Hugging Face's stacks do the same work as ours."""

import json

import pytest
import torch

pytest.importorskip("transformers")

from benchmarks import pretrain_throughput as benchmark
from fairseq_metro.models.metro_t5 import MetroT5Config

SIZES = dict(embed_dim=16, ffn_dim=32, attention_heads=2, encoder_layers=2, decoder_layers=1)


def test_rows_of_a_run(tmp_path):
    out = tmp_path / "rows.json"
    words = "--arch tiny --batch 2 --length 8 --vocab-size 40 --warmup 0 --rounds 2 --steps 1"
    benchmark.main([*words.split(), "--device", "cpu", "--json", str(out)])
    rows = json.loads(out.read_text())
    variants = ["ours-reference", "huggingface", "huggingface-all"]
    assert [row["name"] for row in rows] == [f"cpu tiny {variant}" for variant in variants]
    for row in rows:
        assert row["tokens_per_second"] == pytest.approx(16 / row["step_ms"] * 1e3, rel=0.01)
        assert row["p20_ms"] <= row["step_ms"] <= row["p80_ms"] and row["steps"] == 2
        assert set(row["parts_ms"]) == {
            "auxiliary", "encoder", "decoder", "heads and losses", "backward", "optimizer"
        }  # fmt: skip


def test_no_round_is_begun_after_the_time_is_over(tmp_path):
    out = tmp_path / "rows.json"
    words = "--arch tiny --batch 2 --length 8 --vocab-size 40 --warmup 0 --rounds 3 --steps 1"
    words += " --variants ours-reference --device cpu --seconds 0"
    benchmark.main([*words.split(), "--json", str(out)])
    assert [row["steps"] for row in json.loads(out.read_text())] == [1]


def test_a_variant_that_fails_is_a_row_and_the_others_are_measured(tmp_path, monkeypatch, capsys):
    plain = benchmark.Training.step

    def step(run, *words):
        if run.variant == "huggingface":
            raise RuntimeError("out of memory\nand a long list")
        plain(run, *words)

    monkeypatch.setattr(benchmark.Training, "step", step)
    out = tmp_path / "rows.json"
    words = "--arch tiny --batch 2 --length 8 --vocab-size 40 --warmup 0 --rounds 2 --steps 1"
    assert benchmark.main([*words.split(), "--device", "cpu", "--json", str(out)]) == 1
    rows = {row["name"].split()[-1]: row for row in json.loads(out.read_text())}
    assert [rows[name].get("steps") for name in ("ours-reference", "huggingface-all")] == [2, 2]
    assert rows["huggingface"]["failed"] == "RuntimeError: out of memory"
    assert "huggingface failed: RuntimeError: out of memory\n" in capsys.readouterr().err


def test_hugging_faces_model_has_our_sizes_and_all_of_it_learns():
    cfg = MetroT5Config(**SIZES, auxiliary_layers=1, dropout=0.0, attention_dropout=0.0)
    batch = benchmark.batch_of(40, 2, 8, 0.15, "cpu")
    for variant in ("huggingface", "huggingface-all"):
        run = benchmark.Training(variant, cfg, 40, batch, "cpu", torch.float32)
        run.choose()
        loss, size, log = run.criterion(run.model, batch)
        loss.backward()
        assert size == batch["n_masked"] and float(log["clm_loss"]) > 0
        without = [n for n, p in run.model.named_parameters() if p.grad is None]
        assert without == []
        weights = {n: p.shape for n, p in run.model.named_parameters() if p.dim() == 2}
        assert sum(name.endswith("DenseReluDense.wi.weight") for name in weights) == 4
        assert weights["encoder.block.0.layer.0.SelfAttention.q.weight"] == (16, 16)
        if variant == "huggingface":
            expected = loss
        else:
            torch.testing.assert_close(loss, expected)  # more logits, the same loss


def test_rows_are_appended_where_they_are_to_be_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "measured", lambda arch, *unused: [{"arch": arch, "name": arch}])
    monkeypatch.setattr(benchmark, "show", lambda rows: None)
    out = tmp_path / "rows.jsonl"
    for _ in range(2):
        benchmark.main(["--arch", "tiny", "small", "--device", "cpu", "--json", str(out)])
    rows = [json.loads(line)["arch"] for line in out.read_text().splitlines()]
    assert rows == ["tiny", "small"] * 2
