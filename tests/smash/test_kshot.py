import subprocess
import sys

import pytest
import yaml

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash import tasks
from fairseq_metro.smash.kshot import main
from fairseq_metro.smash.tasks import required_words
from tests.prepare.prompted_samples import write_rows
from tests.smash import originals


def test_tasks_times_k_times_seeds(tmp_path):
    tasks = originals.cola(originals.sst2(tmp_path / "t"))
    arguments = ["--tasks", str(tasks), "--task", "sst2", "cola", "--k", "2", "4", "--seeds", "13"]
    assert main([*arguments, "42", "--out", str(tmp_path / "out")]) == 0
    for task in ("SST-2", "CoLA"):
        found = sorted(path.name for path in (tmp_path / "out" / task).iterdir())
        assert found == ["2-13", "2-42", "4-13", "4-42", "training_labels.json"]
    assert main([*arguments, "--out", str(tmp_path / "chain"), "--lmbff-cola"]) == 0
    read = [(tmp_path / out / "CoLA/2-13/train.tsv").read_bytes() for out in ("out", "chain")]
    assert read[0] != read[1]


def test_the_script_says_what_is_wrong_in_one_line(tmp_path, root):
    originals.sst2(tmp_path / "t", rows=8)
    command = [
        sys.executable,
        "-m",
        "fairseq_metro",
        "kshot",
        "--tasks",
        str(tmp_path / "t"),
    ]
    command += ["--task", "sst2", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    warning, error = done.stderr.splitlines()
    assert done.returncode == 1 and "11 rows of split test, 872 are published" in warning
    assert error.startswith("error: SST-2: label ") and "K of 16 needs 32" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "sst2", "--out", "o"], "--tasks is missing"),
        (["--tasks", ".", "--task", "sst2"], "--out is missing"),
        (["--tasks", ".", "--out", "o"], "--task is missing"),
        (["--tasks", ".", "--out", "o", "--task", "sst"], "nearest: sst5, sst2"),
        (["--tasks", ".", "--out", "o", "--task", "mr", "--lmbff-cola"], "or add cola"),
        (["--tasks", ".", "--out", "o", "--task", "mr", "--k", "0"], "must be 1 or more"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        main(arguments)


def test_words_for_a_vocabulary(tmp_path):
    assert main(["--required-words", str(tmp_path / "words")]) == 0
    assert (tmp_path / "words").read_text().split() == required_words()
    main(["--required-words", str(tmp_path / "words"), "--task", "cola"])
    assert (tmp_path / "words").read_text().split() == ["This", "correct", "incorrect", "is"]


def test_no_torch_is_needed_for_it(root):
    code = "import sys, fairseq_metro.smash.kshot as _, fairseq_metro.smash.examples as _; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"text": ["sentense"]},
            "'text' names 'sentense', .* no field of my/set .nearest: sentence;",
        ),
        ({"label": "lable"}, "'label' names 'lable', .* no field of my/set .nearest: label;"),
        ({"text": ["label"]}, "field 'label' is 1, not a text"),
    ],
)
def test_a_task_that_names_no_field_of_its_data_is_one_line(tmp_path, change, words):
    values = yaml.safe_load((tasks._FOLDER / "sst2.yaml").read_text())
    fields = {"name": "my/set", "text": ["sentence"], "labels": ["0", "1"]}
    splits = {"train": "train", "test": "validation"}
    del values["lmbff"]
    values["dataset"] = {**fields, "splits": splits, **change}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    rows = [{"sentence": f"row {i}", "label": 1 - i % 2} for i in range(20)]
    for split in ("train", "validation"):
        write_rows(tmp_path / "tasks/my/set" / f"{split}.jsonl", rows)
    with pytest.raises(UserError, match=words) as error:
        main(["--tasks", str(tmp_path / "tasks"), "--task", str(tmp_path / "mine.yaml"), "--k", "2",
              "--out", str(tmp_path / "out")])  # fmt: skip
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
