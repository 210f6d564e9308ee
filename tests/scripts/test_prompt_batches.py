"""benchmarks/prompt_batches.py: what it measures, on few examples."""

import importlib.util
import json

import numpy as np
import pytest

from tests.training import ROOT


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location(
        "prompt_batches", ROOT / "benchmarks/prompt_batches.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_padding_stays_below_a_tenth_and_below_the_other_ways(benchmark, tmp_path):
    """At a tenth of the benchmark's size; with more examples there is less."""
    out = tmp_path / "rows.jsonl"
    words = ["--examples", "40000", "--max-tokens", "8192", "--seeds", "1", "--json", str(out)]
    assert benchmark.main(words) == 0
    rows = {row["way"]: row for row in map(json.loads, out.read_text().splitlines())}
    share = {way: row["padding_share"] for way, row in rows.items()}
    assert share["ours"] < 0.1 and share["packed"] < 0.1
    assert share["ours"] < share["fairseq="] < share["shuffled"]


def test_every_way_holds_every_example_once(benchmark):
    source, target = benchmark.t0_lengths(3000, 1)
    for name, make in benchmark.ways(source, target, 4096, 1).items():
        widths, batches = make()
        rows = np.concatenate(batches)
        assert sorted(rows.tolist()) == list(range(len(widths[0]))), name
        assert name == "packed" or len(rows) == 3000


def test_the_lengths_are_those_of_the_mixture(benchmark):
    """METRO's examples per epoch of T0, from the published rows and templates."""
    entries = [entry.split() for entry in benchmark.T0.replace("\n", " ").split(",")]
    rows, templates = np.array([list(map(int, entry[1:3])) for entry in entries]).T
    expected = (np.minimum(rows, 500_000 // templates) * templates).sum()
    # adversarial_qa's three subsets are one line, since their lengths are alike.
    assert len(entries) == 36 and expected == 10_606_443
