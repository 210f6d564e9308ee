"""The whole command on a small model: files, resume, kill, options, several processes, errors."""

import json
import os
import subprocess
import sys

import pytest

import fairseq_metro
from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate import runner
from fairseq_metro.evaluate.command import main
from fairseq_metro.evaluate.results import read_results
from fairseq_metro.interchange.import_t5 import main as import_t5
from tests.evaluate.fakes import write_rows

RUNS = ["toy_kind_silent", "toy_kind_which", "toy_pick_pick"]
TIMES = ("seconds", "stamp")


def arguments(toys, out, *more):
    words = [toys / "model", "--suite", toys / "suite.yaml", "--tasks", toys / "tasks"]
    return [str(word) for word in (*words, "--device", "cpu", "--out", out, *more)]


def steady(folder):
    """What an evaluation says, without times: {run: result}, report."""
    results = read_results(folder)
    plain = {
        name: {k: v for k, v in one.items() if k not in TIMES} for name, one in results.items()
    }
    lines = (folder / "report.md").read_text("utf-8").splitlines()
    return plain, "\n".join(line for line in lines if not line.startswith("- made by"))


@pytest.fixture(scope="module")
def whole(toys, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation") / "out"
    assert main(arguments(toys, out)) == 0
    return out


@pytest.fixture(scope="module")
def predictor(toys):
    return fairseq_metro.load(toys / "model", "cpu")


def test_files_report_and_picture(whole):
    results, report = steady(whole)
    assert sorted(results) == RUNS
    assert (whole / "toys.png").stat().st_size > 5000
    silent = results["toy_kind_silent"]
    assert silent["rows"] == 30 and silent["examples"] == 15
    assert silent["dropped"] == {"not two parts": 15}
    assert "| silent | 15 |" in report and "15 not two parts" in report
    summary = json.loads((whole / "summary.json").read_text())
    (suite,) = summary["suites"]
    kind, pick = suite["sets"]
    assert suite["complete"] and suite["mean"] == pytest.approx((kind["mean"] + pick["mean"]) / 2)
    assert pick["main"] == "macro_accuracy" and set(pick["groups"]) == {"art", "law", "sport"}


def test_scores_are_the_predictors_one_by_one(toys, whole, predictor):
    """In no order and no batch of the runner's: each row alone, from its own text."""
    rows = [json.loads(line) for line in (toys / "tasks/toy/pick/validation.jsonl").open()]
    result = read_results(whole)["toy_pick_pick"]
    each, hits = result["per_example"], {}
    for place, row in enumerate(rows):
        text = f"{row['text']} {' '.join(row['options'])}"
        (scores,) = predictor.score_choices([text], [row["options"]])
        assert each["scores"][place] == pytest.approx(scores, abs=1e-5)
        assert each["prediction"][place] == scores.index(max(scores))
        assert each["gold"][place] == row["label"]
        hits.setdefault(row["subject"], []).append(each["prediction"][place] == row["label"])
    expected = sum(sum(group) / len(group) for group in hits.values()) / len(hits)
    assert result["value"] == pytest.approx(expected)
    assert result["hits"] == sum(map(sum, hits.values()))


def test_any_of_several_right_answers_is_a_hit(toys, tmp_path):
    rows = [{"text": "river", "options": ["small", "old", "new"], "good": ["old", "new"]},
            {"text": "stone", "options": ["old", "small"], "good": ["small"]}]  # fmt: skip
    write_rows(tmp_path, "toy/several", rows)
    suite = tmp_path / "several.yaml"
    prompt = '{jinja: "{{text}} ||| {{good[0]}}", answer_choices: "{{options | join(\'|||\')}}"}'
    for answers in ("", "    answers: good\n"):
        suite.write_text(
            "version: 1\nname: several\nsets:\n  - dataset: toy/several\n"
            + answers
            + f"    prompts:\n      p: {prompt}\n"
        )
        out = tmp_path / f"out{len(answers)}"
        words = [toys / "model", "--suite", suite, "--tasks", tmp_path, "--device", "cpu"]
        assert main([str(word) for word in (*words, "--out", out)]) == 0
        result = read_results(out)["toy_several_p"]
        right = [[1, 2], [1]] if answers else [[1], [1]]
        each = result["per_example"]
        assert each.get("right", [[g] for g in each["gold"]]) == right
        hits = sum(p in places for p, places in zip(each["prediction"], right, strict=True))
        assert result["hits"] == hits and result["metrics"]["accuracy"] == hits / 2
        assert result["metrics"]["chance"] == pytest.approx((len(right[0]) / 3 + 1 / 2) / 2)
        assert result["metrics"]["commonest"] == 1.0


@pytest.mark.parametrize("max_tokens", [1, 90])
def test_batches_change_no_score(toys, whole, tmp_path, max_tokens):
    main(arguments(toys, tmp_path / "out", "--max-tokens", max_tokens))
    for one, other in zip(
        *(read_results(f).values() for f in (whole, tmp_path / "out")), strict=True
    ):
        scores = one["per_example"]["scores"], other["per_example"]["scores"]
        for row, again in zip(*scores, strict=True):
            assert row == pytest.approx(again, abs=1e-5)


def test_the_same_command_again_loads_no_model(toys, whole, monkeypatch):
    before = steady(whole)
    monkeypatch.setattr("fairseq_metro.evaluate.model_source.load_model", None)
    assert main(arguments(toys, whole)) == 0
    assert steady(whole) == before


def test_a_killed_evaluation_goes_on_to_the_same_report(toys, whole, tmp_path, monkeypatch):
    written = []

    def write(out, result):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(result["run"])
        return real(out, result)

    real = runner.write_result
    monkeypatch.setattr(runner, "write_result", write)
    with pytest.raises(KeyboardInterrupt):
        main(arguments(toys, tmp_path / "out"))
    monkeypatch.undo()
    kept = tmp_path / "out" / "results" / f"{written[0]}.json"
    before = kept.stat().st_mtime_ns
    assert main(arguments(toys, tmp_path / "out")) == 0
    assert kept.stat().st_mtime_ns == before
    assert steady(tmp_path / "out") == steady(whole)


def test_other_settings_need_another_folder(toys, whole, tmp_path):
    with pytest.raises(UserError, match=r"holds results of other settings .*rank_by 'sum' there"):
        main(arguments(toys, whole, "--rank-by", "mean"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UserError, match="is there and holds no results"):
        main(arguments(toys, tmp_path / "mine"))


def test_a_start_without_results_keeps_no_folder(toys, tmp_path):
    """A mistake that ends the first run, a wrong --tasks say, asks for no other folder afterwards."""
    words = [toys / "model", "--suite", toys / "suite.yaml", "--device", "cpu", "--limit", "2"]
    words += ["--out", tmp_path / "out", "--tasks"]
    with pytest.raises(UserError, match="no set's rows were found"):
        main([str(word) for word in (*words, tmp_path)])
    assert (tmp_path / "out" / "settings.json").exists()
    assert main([str(word) for word in (*words, toys / "tasks", "--seed", "2")]) == 0
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["seed"] == 2


def test_changed_data_is_noticed(toys, tmp_path):
    import shutil

    shutil.copytree(toys, tmp_path / "toys")
    main(arguments(tmp_path / "toys", tmp_path / "out"))
    path = tmp_path / "toys/tasks/toy/pick/validation.jsonl"
    path.write_text(path.read_text().replace("river", "stone"))
    with pytest.raises(UserError, match=r"toy_pick_pick.json: made with another model, data"):
        main(arguments(tmp_path / "toys", tmp_path / "out"))


@pytest.mark.parametrize("options", [
    ["--rank-by", "mean"], ["--rank-by", "pmi"], ["--rank-by", "contextual"],
    ["--shots", "2"], ["--dtype", "bfloat16"], ["--limit", "5"],
])  # fmt: skip
def test_options_change_the_scores(toys, whole, tmp_path, options):
    main(arguments(toys, tmp_path / "out", *options))
    one, other = (read_results(f)["toy_pick_pick"] for f in (whole, tmp_path / "out"))
    assert one["per_example"]["scores"] != other["per_example"]["scores"]
    assert other["examples"] == (5 if "--limit" in options else 17)
    said = "over 2 sets (NOT the whole suite), " in (tmp_path / "out" / "report.md").read_text()
    assert said == ("--limit" in options)
    if "bfloat16" in options:
        for row, half in zip(
            one["per_example"]["scores"], other["per_example"]["scores"], strict=True
        ):
            assert half == pytest.approx(row, rel=0.1, abs=1.0)


def test_the_recipe_decides_how_many_passages_are_read(toys, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"passages": ["a", "b", "c", "d", "e", "f"]}\n' * 17)
    words = ["--sets", "Pick", "--passages", str(tmp_path / "p.jsonl")]
    for recipe, most in (("paper", 5), ("release", 10)):
        out = tmp_path / recipe
        assert main(arguments(toys, out, *words, "--recipe", recipe)) == 0
        assert json.loads((out / "summary.json").read_text())["settings"]["most_passages"] == most
        assert f"- at most {most} passages behind an input" in (out / "report.md").read_text()
    five, six = (read_results(tmp_path / name)["toy_pick_pick"] for name in ("paper", "release"))
    assert five["fingerprint"] != six["fingerprint"]  # other inputs


def test_random_wordings_by_row_or_in_order(toys, tmp_path):
    suite, scores = tmp_path / "random.yaml", []
    suite.write_text(
        "version: 1\nname: random\nsets:\n  - dataset: toy/kind\n    prompts:\n      any:\n"
        '        jinja: \'{{["river", "stone", "new", "old"] | choice}} {{text}} ||| small\'\n'
        "        answer_choices: small ||| old\n"
    )
    for number, words in enumerate(([], ["--sequential-draws"])):
        out = tmp_path / str(number)
        assert main(arguments(toys, out, "--suite", str(suite), *words)) == 0
        assert json.loads((out / "settings.json").read_text())["sequential_draws"] == bool(words)
        scores.append(read_results(out)["toy_kind_any"]["per_example"]["scores"])
    assert scores[0] != scores[1]


def test_every_checkpoint_of_a_run_has_a_folder_and_a_point(toys, tmp_path):
    run = tmp_path / "run"
    assert import_t5([str(toys / "model"), "--out", str(run)]) == 0
    words = [str(run), *arguments(toys, tmp_path / "out", "--limit", "5", "--checkpoints")[1:]]
    del words[words.index("--out") : words.index("--out") + 2]
    assert main(words) == 0
    folder = run / "evaluation" / "suite-checkpoints"
    (point,) = json.loads((folder / "curve.json").read_text())
    assert (folder / point["checkpoint"].removesuffix(".pt") / "report.md").exists()
    assert point["suites"]["toys"]["sets"].keys() == {"Kind", "Pick"}


def test_a_set_without_files_is_left_out_unless_it_is_named(toys, tmp_path):
    suite = tmp_path / "more.yaml"
    suite.write_text(
        (toys / "suite.yaml").read_text() + "  - {dataset: toy/none, prompts: {p: a ||| b}}\n"
    )
    words = [
        str(toys / "model"),
        "--suite",
        str(suite),
        "--tasks",
        str(toys / "tasks"),
        "--limit",
        "4",
    ]
    words += ["--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    report = (tmp_path / "out" / "report.md").read_text()
    assert "NOT the whole suite: 3 sets" in report and "- toy/none: toy/none not found" in report
    with pytest.raises(UserError, match="toy/none not found"):
        main([*words[:-1], str(tmp_path / "other"), "--sets", "toy/none"])
    with pytest.raises(UserError, match="no set 'toy/nine'"):
        main([*words[:-1], str(tmp_path / "other"), "--sets", "toy/nine"])


def test_two_processes_are_one(toys, whole, tmp_path):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
             "-m", "fairseq_metro", "evaluate", *arguments(toys, tmp_path / "out")]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=290, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    (one, report), (two, report_of_two) = steady(whole), steady(tmp_path / "out")
    assert report == report_of_two
    for name, result in one.items():
        rows = result["per_example"].pop("scores"), two[name]["per_example"].pop("scores")
        for row, other in zip(*rows, strict=True):
            assert row == pytest.approx(other, abs=1e-5)
    assert one == two


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--limit", "0"], "--limit is 0, must be at least 1"),
        (["--seed", "-1"], "--seed is -1"),
        (["--suite", "nothing"], "no suite 'nothing'"),
        (["--split", "dev"], "no set's rows were found .*no labelled split 'dev'"),
        (["--passages", "none.jsonl"], "none.jsonl"),
        (["--compare", "a", "b"], "--compare reads results and evaluates no model"),
        (["--templates", "nowhere"], "nowhere"),
        (["--expect", "t0_bas"], "--expect t0_bas: hit counts are known of metro_t0_base, "),
        (["--expect", "metro_t0_base"], "published hits are of the whole suite t0_eval, .*so$"),
    ],
)
def test_a_mistake_is_one_line(toys, tmp_path, words, says):
    with pytest.raises(UserError, match=says) as error:
        main(arguments(toys, tmp_path / "out", *words))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "results").exists()


def test_a_damaged_result_is_one_line(toys, tmp_path):
    main(arguments(toys, tmp_path / "out"))
    path = tmp_path / "out" / "results" / "toy_kind_which.json"
    whole = path.read_text()
    for text, says in ((whole[:200], "not valid JSON"), ("[]", "not a result of this format"),
                       (whole.replace('"hits"', '"hists"').replace('"value"', '"v"'), "has no value"),
                       (whole.replace('"examples": 30', '"examples": 29'), "29 entries")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError, match=says) as error:
            main(arguments(toys, tmp_path / "out"))
        assert "toy_kind_which.json" in str(error.value) and "\n" not in str(error.value)


def test_a_wrong_row_is_one_line(toys, tmp_path):
    rows = [{"text": "river", "options": ["a", "b"], "label": 5, "subject": "art"}]
    write_rows(tmp_path, "toy/pick", rows)
    words = arguments(toys, tmp_path / "out", "--tasks", tmp_path, "--sets", "Pick")
    assert main(words) == 0  # nothing is printed for a label without an option: no example
    assert read_results(tmp_path / "out")["toy_pick_pick"]["value"] is None
    assert "no examples" in (tmp_path / "out" / "report.md").read_text()


def test_a_set_by_name_is_not_the_suite(toys, tmp_path):
    assert main(arguments(toys, tmp_path / "out", "--sets", "Kind")) == 0
    assert "over 1 set (NOT the whole suite), " in (tmp_path / "out" / "report.md").read_text()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert not summary["suites"][0]["complete"]


def test_exemplars_of_the_rows_that_are_evaluated_are_refused(toys, tmp_path):
    write_rows(tmp_path, "toy/pick", [{"text": "a", "options": ["a", "b"], "label": 0}], "train")
    words = ["--tasks", tmp_path, "--sets", "Pick", "--shots", "1", "--split", "train"]
    with pytest.raises(UserError, match="'split' and 'exemplars_from' are both 'train'"):
        main(arguments(toys, tmp_path / "out", *words))


def test_unknown_characters_and_bad_rows_are_in_the_report(toys, tmp_path, caplog):
    suite = tmp_path / "odd.yaml"
    suite.write_text(
        "version: 1\nname: odd\nsets: [{dataset: odd, label: ODD, jsonl: odd.jsonl}]\n"
    )
    rows = [
        {"inputs": "the river 日本語", "targets": "yes", "choices": ["yes", "no"]}
        for _ in range(10)
    ]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "odd.jsonl").write_text("\n".join([*lines[:5], "{cut", *lines[5:]]) + "\n")
    words = [
        str(toys / "model"),
        "--suite",
        str(suite),
        "--tasks",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    with pytest.raises(UserError, match=r"odd.jsonl: line 6 is not JSON"):
        main([*words, "--out", str(tmp_path / "none")])
    with caplog.at_level("WARNING"):
        main([*words, "--out", str(tmp_path / "out"), "--max-bad-rows", "1"])
    report = (tmp_path / "out/report.md").read_text("utf-8")
    assert "bad rows are left out (--max-bad-rows 1)" in report and "1 unreadable row" in report
    assert "ODD: " in report and "30 of " in report.split("ODD: ")[1]
    assert "ODD: " in caplog.text and "are not in the vocabulary" in caplog.text
    (result,) = read_results(tmp_path / "out").values()
    assert result["characters"]["unknown"] == 30
    whole_lines = [json.dumps({**row, "inputs": "日本語の文章"}) for row in rows]
    (tmp_path / "odd.jsonl").write_text("\n".join(whole_lines) + "\n")
    with pytest.raises(UserError, match=r"100.00% of the characters .*--allow-unknown"):
        main([*words, "--out", str(tmp_path / "script")])
    main([*words, "--out", str(tmp_path / "script"), "--allow-unknown"])
