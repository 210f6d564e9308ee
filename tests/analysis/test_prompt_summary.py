"""analysis/prompt_summary.py and prompt_bars.py: from a run's scores to numbers, words, a picture."""

import json
import math

import numpy as np
import pytest

from fairseq_metro.analysis.prompt_summary import GROUPS, HELD_IN, NEW_KIND, NEW_SET, main
from fairseq_metro.common.errors import UserError
from tests.analysis.fairseq_logs import CONFIG, write_log

# data set -> (split, kind, chance, accuracy of its templates before, after)
SETS = {
    "docstring/area": ("valid", "topic", 0.2, (0.21, 0.19), (0.61, 0.55)),
    "docstring/order": ("valid", "acceptability", 0.5, (0.5, 0.5), (0.71, 0.69)),
    "docstring/mention": ("heldout", "word search", 0.5, (0.5, 0.48), (0.5, 0.52)),
    "docstring/whole": ("heldout", "acceptability", 0.5, (0.5, 0.5), (0.6, 0.62)),
}
ROWS = 400


def write_run(run, updates=400, sets=SETS, commonest=5):
    """A run's folder as fairseq-train and prompted_data.py leave it, as far as a summary reads it."""
    for when, at in ((0, 3), (updates, 4)):
        for split in {one[0] for one in sets.values()}:
            here = {name: one for name, one in sets.items() if one[0] == split}
            tasks = {
                f"{name} {i}": {
                    "dataset": name, "template": f"wording {i}", "accuracy": accuracy,
                    "chance": one[2], "examples": ROWS,
                }
                for name, one in here.items()
                for i, accuracy in enumerate(one[at])
            }  # fmt: skip
            means = {
                name: {"accuracy": sum(one[at]) / 2, "chance": one[2], "loss": 1.0}
                for name, one in here.items()
            }
            write(run / f"checkpoints/scores/{split}_{when}.json", datasets=means, tasks=tasks)
            for task in tasks:
                (run / f"data/{split}/{task}").mkdir(parents=True, exist_ok=True)
                gold = np.array([[5, row % commonest] for row in range(ROWS)], np.int32)
                np.save(run / f"data/{split}/{task}/{split}.src-tgt.gold.npy", gold)
            kinds = [
                {"name": name, "dataset": name, "cluster": one[1]} for name, one in here.items()
            ]
            write(run / f"data/{split}/mixture.json", tasks=kinds)
    trained = [{"cluster": one[1]} for one in sets.values() if one[0] == "valid"]
    write(run / "data/train/mixture.json", tasks=trained)
    with open(run / "train.log", "w") as stream:
        write_log(stream)
    return run


def write(path, **value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def test_groups_and_means_are_told_beside_chance(tmp_path, capsys):
    assert main([str(write_run(tmp_path))]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [(one["dataset"], one["group"]) for one in summary["sets"]] == [
        ("docstring/area", HELD_IN),
        ("docstring/order", HELD_IN),
        ("docstring/whole", NEW_SET),
        ("docstring/mention", NEW_KIND),
    ]
    assert summary["held_in"] == pytest.approx(
        {"chance": 0.35, "commonest": 0.2, "guess": 0.35, "before": 0.35, "after": 0.64}
    )
    assert summary["held_out"] == pytest.approx(
        {"chance": 0.5, "commonest": 0.2, "guess": 0.5, "before": 0.495, "after": 0.56}
    )
    assert summary["groups"][NEW_KIND]["after"] == pytest.approx(0.51)
    area = summary["sets"][0]
    assert area["templates"] == {"wording 0": 0.61, "wording 1": 0.55} and area["rows"] == ROWS
    assert area["error"] == pytest.approx(math.sqrt(0.2 * 0.8 / ROWS))
    assert (summary["updates"], summary["parameters"], summary["seed"]) == (400, 1_234_567, 7)
    said = capsys.readouterr().out
    assert "Held-in: 64.0% after, 35.0% before, clearly above the 35.0% of guessing; 2 of 2" in said
    assert "Held-out kinds: 51.0% after, 49.0% before, NOT clearly above" in said
    assert all(words in said for words in GROUPS.values())
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_always_the_commonest_answer_is_a_guess_too(tmp_path, capsys):
    write_run(tmp_path, commonest=1)
    assert main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Held-in: 64.0% after, 35.0% before, NOT clearly above the 100.0% of guessing" in said


def test_the_commonest_answer_is_the_training_sets_where_there_is_one(tmp_path, capsys):
    """Of the evaluated rows place 0 is commonest, 60 %; of the training rows place 2, 10 % of them."""
    write_run(tmp_path)
    places = np.repeat([0, 1, 2], [ROWS * 6 // 10, ROWS * 3 // 10, ROWS // 10])
    for name in ("docstring/area", "docstring/order"):
        for i in (0, 1):
            for split, gold in (("valid", places), ("train", [2, 2, 2, 1, -1, -1, -1, -1])):
                folder = tmp_path / f"data/{split}/{name} {i}"
                folder.mkdir(parents=True, exist_ok=True)
                rows = np.array([[5, place] for place in gold], np.int32)
                np.save(folder / f"{split}.src-tgt.gold.npy", rows)
    assert main([str(tmp_path)]) == 0
    sets = {
        one["dataset"]: one for one in json.loads((tmp_path / "summary.json").read_text())["sets"]
    }
    assert sets["docstring/area"]["commonest"] == pytest.approx(0.1)
    assert sets["docstring/area"]["commonest_of"] == "train"
    assert sets["docstring/whole"]["commonest"] == pytest.approx(0.2)
    assert sets["docstring/whole"]["commonest_of"] == "evaluated rows"
    lines = capsys.readouterr().out.splitlines()
    starred = [line.split()[0] for line in lines if line.startswith("  docstring") and " *" in line]
    assert starred == ["docstring/whole", "docstring/mention"]
    assert any(
        "* commonest of the evaluated rows: the set has no training rows" in x for x in lines
    )


def test_the_last_validation_counts_and_an_unfinished_run_is_called_so(tmp_path, capsys):
    write_run(tmp_path, updates=90)
    late = {name: (*one[:4], (0.9, 0.9)) for name, one in SETS.items()}
    write_run(tmp_path, updates=100, sets=late)
    assert main([str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["updates"] == 100 and summary["held_in"]["after"] == pytest.approx(0.9)
    assert "NOT FINISHED: 400 updates are planned." in capsys.readouterr().out


def test_sets_without_choices_are_left_out(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "checkpoints/scores/heldout_400.json"
    scores = json.loads(path.read_text())
    scores["datasets"]["free/text"] = {"accuracy": None, "chance": None}
    path.write_text(json.dumps(scores))
    assert main([str(tmp_path)]) == 0
    assert "free/text" not in (tmp_path / "summary.json").read_text()


@pytest.mark.parametrize("how", ["log", "option"])
def test_a_scripts_run_has_its_scores_beside_its_log_and_its_data_elsewhere(how, tmp_path):
    made, run, data = write_run(tmp_path / "made"), tmp_path / "run", tmp_path / "pairs"
    run.mkdir()
    (made / "checkpoints/scores").rename(run / "scores")
    (made / "data").rename(data)
    named = f"'task': {{'_name': 'prompt_finetuning', 'data': '{data}'}}" if how == "log" else ""
    with open(run / "train.log", "w") as stream:
        write_log(stream, config=CONFIG.replace("'common'", f"{named}, 'common'"))
    words = [str(run)] if how == "log" else [str(run), "--data", str(data)]
    assert main(words) == 0
    summary = json.loads((run / "summary.json").read_text())
    assert summary["held_in"]["after"] == pytest.approx(0.64)
    assert (run / "bars.png").exists()
    data.rename(tmp_path / "gone")
    where = f"nor in {data}, which its log names" if how == "log" else "and its log names no folder"
    with pytest.raises(UserError, match=f"no prompted pairs in .*, {where}; give --data FOLDER"):
        main([str(run)])


def test_without_held_in_choices_the_others_are_told(tmp_path, capsys):
    write_run(tmp_path)
    for when in (0, 400):
        path = tmp_path / f"checkpoints/scores/valid_{when}.json"
        scores = json.loads(path.read_text())
        scores["datasets"] = {"free/text": {"accuracy": None, "chance": None}}
        path.write_text(json.dumps(scores))
    assert main([str(tmp_path)]) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["held_in"] is None
    said = capsys.readouterr().out
    assert "Held-in" not in said and "Held-out kinds: 51.0% after" in said
    for when in (0, 400):
        (tmp_path / f"checkpoints/scores/heldout_{when}.json").unlink()
    with pytest.raises(UserError, match="no data set with choices in it"):
        main([str(tmp_path)])


def test_a_run_without_both_validations_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"train\.log: cannot be read"):
        main([str(tmp_path)])
    write_run(tmp_path)
    (tmp_path / "checkpoints/scores/valid_0.json").unlink()
    with pytest.raises(UserError, match="not both a validation before the first update") as caught:
        main([str(tmp_path)])
    assert "let the run reach its first validation" in str(caught.value)
