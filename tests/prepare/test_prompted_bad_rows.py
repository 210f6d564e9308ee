"""One bad row among many: left out of prompted data, counted by reason, an error above a limit."""

import json

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.prompted_files import open_split
from fairseq_metro.prepare.prompted.main import main
from tests.prepare import prompted_samples as toys

TEMPLATE = """
dataset: my/set
templates:
  a: {name: plain, jinja: "{{text}} Good? ||| {{answer_choices[label]}}", answer_choices: "no ||| yes"}
"""


@pytest.fixture
def place(tmp_path):
    toys.write_all(tmp_path, rows=20)
    (tmp_path / "nli.yaml").write_text(TEMPLATE)
    (tmp_path / "mixture.yaml").write_text("version: 1\nname: mine\nsets: [my/set]\n")
    return tmp_path


def write_set(place, *bad, good=40):
    rows = [json.dumps({"text": f"word {i}", "label": i % 2}) for i in range(good)]
    lines = [
        bad_row if isinstance(bad_row, bytes) else json.dumps(bad_row).encode() for bad_row in bad
    ]
    whole = [*(row.encode() for row in rows[:3]), *lines, *(row.encode() for row in rows[3:])]
    path = place / "tasks/my/set/train.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(whole) + b"\n")


def words_of(place, *more, **options):
    return toys.command(place, "--split", "train", *more, **options)


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_rows_are_left_out_and_counted_by_reason(place, caplog, workers):
    write_set(
        place, {"text": None, "label": 1}, {"label": 1}, {"text": "x", "label": -1}, b'{"text": '
    )
    assert main(words_of(place, workers=workers)) == 0
    [task] = open_split(place / "data", "train").tasks
    assert task.rows == 40
    facts = json.loads((place / "data/train/mixture.json").read_text())
    reasons = facts["tasks"][0]["dropped"]
    assert reasons == {"no field 'text'": 1, "no value in field 'text'": 1}
    reading, rendering = facts["sets"][0]["bad_rows"]
    assert reading.startswith(
        "2 of 44 rows were left out: 1 without a label, 1 not JSON (the first:"
    )
    assert "train.jsonl: line 6 has no label" in reading
    assert rendering.startswith(
        "2 of 42 rows were left out: 1 no value in field 'text', 1 no field"
    )
    assert "row 4: " in rendering and "template 'plain'" in rendering
    assert all(f"train/my/set: {sentence}" in caplog.text for sentence in (reading, rendering))
    caplog.clear()
    assert main(words_of(place, workers=workers)) == 0  # finished, and said again
    assert reading in caplog.text


def test_the_rows_left_are_those_of_a_file_without_the_bad_ones(place):
    write_set(place)
    clean = toys.build(place, "--split", "train", dest="clean")
    write_set(place, {"text": None, "label": 1}, b"{")
    data = toys.build(place, "--split", "train")
    prefix = "train/my_set_plain/train.src-tgt.src"
    assert toys.lines_of(data / prefix) == toys.lines_of(clean / prefix)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([{"text": None, "label": 0}] * 11, "11 of 51 rows so far are bad (11 no value in"),
        ([b"{"] * 11, "line 4 is not JSON"),
        ([b'{"text": "caf\xe9", "label": 0}'], "1 of 41 rows so far are bad (1 not utf-8)"),
    ],
)  # fmt: skip
def test_more_than_a_few_are_an_error_and_nothing_is_written(place, bad, words):
    write_set(place, *bad)
    with pytest.raises(UserError) as error:
        main(words_of(place))
    assert words in str(error.value) and "--max-bad-rows" in str(error.value)
    assert "\n" not in str(error.value) and not (place / "data").exists()
    data = toys.build(place, "--split", "train", "--max-bad-rows", "30%")
    assert open_split(data, "train").tasks[0].rows == 40


def test_a_limit_of_none_at_all(place):
    write_set(place, {"text": None, "label": 0})
    with pytest.raises(UserError, match=r"row 4: .*no value in field 'text'; 1 of 41 rows"):
        main(words_of(place, "--max-bad-rows", "0"))
    with pytest.raises(UserError, match="--max-bad-rows is 'few', must be a number of rows"):
        main(words_of(place, "--max-bad-rows", "few"))


def test_rows_that_a_template_cannot_do_with_are_bad_rows(place, caplog):
    (place / "nli.yaml").write_text(TEMPLATE.replace("{{text}}", "{{text.lower()}}"))
    write_set(place, {"text": 7, "label": 0})
    data = toys.build(place, "--split", "train")
    assert open_split(data, "train").tasks[0].rows == 40
    assert "1 of 41 rows were left out: 1 template fails" in caplog.text
    write_set(place, *[{"text": 7, "label": 0}] * 11)
    with pytest.raises(UserError, match=r"row 4: .*'lower'.*11 template fails"):
        main(words_of(place, dest="other"))


def test_ready_made_pairs_with_surrogates_nulls_and_damaged_lines(place, caplog):
    good = [{"inputs": f"a {i}", "targets": "b"} for i in range(30)]
    lines = [json.dumps(row) for row in good]
    lines[3:3] = ['{"inputs": "a \\ud83d", "targets": "b"}', '{"inputs": null, "targets": "b"}',
                  '{"inputs": "a"}', "{"]  # fmt: skip
    (place / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    (place / "mixture.yaml").write_text(
        "version: 1\nname: mine\nsets: [{dataset: ready, jsonl: [pairs.jsonl]}]\n"
    )
    data = toys.build(place, "--split", "train")
    assert open_split(data, "train").tasks[0].rows == 31
    assert "1 null in 'inputs', 1 without 'targets', 1 not JSON" in caplog.text
    assert "1 lone surrogate was replaced by U+FFFD" in caplog.text
    pairs, vocabulary = (
        toys.lines_of(data / "train/ready/train.src-tgt.src"),
        toys.samples.vocabulary(),
    )
    assert pairs[3] == [*vocabulary.encode("a \ufffd"), 2]


def test_bad_rows_among_drawn_rows_exemplars_and_in_what_is_shown(place, capsys):
    write_set(place, *[{"text": None, "label": 0}, b"{"] * 3, good=200)
    (place / "mixture.yaml").write_text(
        "version: 1\nname: mine\nrule: flan\nexemplars: 2\nsets: [my/set]\n"
    )
    data = toys.build(place, "--split", "train", "--limit", "150")
    assert 143 <= open_split(data, "train").tasks[0].rows <= 150
    assert main(words_of(place, "--show", "4")) == 0
    shown = capsys.readouterr().out
    assert shown.count("input:") == 4 and "left out: 3 row(s), no value in field 'text'" in shown
    assert "None Good?" not in shown
