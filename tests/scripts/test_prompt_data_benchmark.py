"""benchmarks/prompt_data.py: both sides that run here end with the same tokens."""

import importlib.util
from types import SimpleNamespace

import pytest

from fairseq_metro.prepare.prompted.main import main
from fairseq_metro.prompts.collection import promptsource_folder
from tests.conftest import ROOT
from tests.prepare import samples


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(
        "prompt_data_benchmark", ROOT / "benchmarks/prompt_data.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(promptsource_folder() is None, reason="promptsource is not installed")
def test_the_loop_over_compiled_templates_makes_the_tokens_that_ours_makes(script, tmp_path):
    args = SimpleNamespace(tasks=None, datasets=None, rows=3)
    script.prepare(tmp_path, args)
    vocab = samples.vocabulary().path
    words = ["--mixture", tmp_path / "mixture.yaml", "--tasks", tmp_path / "tasks", "--vocab", vocab,
             "--dest", tmp_path / "ours", "--split", "train", "--workers", 1]  # fmt: skip
    assert main(list(map(str, words))) == 0
    (tmp_path / "compiled").mkdir()
    for part in range(2):
        script.compiled_part(tmp_path, tmp_path / "compiled", vocab, part, 2)
    names = script.tasks(tmp_path)
    assert len(names) == 21
    for name in names:
        for kind in ("src", "tgt"):
            ours = tmp_path / "ours/train" / name / f"train.src-tgt.{kind}.bin"
            assert ours.read_bytes() == (tmp_path / f"compiled/{name}.{kind}.bin").read_bytes()
            assert ours.stat().st_size
