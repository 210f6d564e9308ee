"""Tasks are tried before anything is written: templates that read or give nothing are errors."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.prompted_files import open_split
from fairseq_metro.prepare.prompted.main import main
from tests.prepare import prompted_samples as toys
from tests.prepare import samples


@pytest.fixture
def fresh(tmp_path):
    toys.write_all(tmp_path, rows=20)
    return tmp_path


def templates(folder, *several):
    """Templates for toy/nli: (name, jinja, answer choices)."""
    lines = ["dataset: toy/nli", "templates:"]
    for name, jinja, choices in several:
        lines += [f"  {name}:", f"    name: {name}", f"    jinja: '{jinja}'",
                  f"    answer_choices: {choices}", "    metadata: {original_task: true}"]  # fmt: skip
    (folder / "nli.yaml").write_text("\n".join(lines) + "\n")


def only(folder, key="sets", more=""):
    (folder / "mixture.yaml").write_text(
        f"version: 1\nname: mine\nrule: metro\n{key}: [{{dataset: toy/nli{more}}}]\n"
    )


GOOD = ("good", "{{premise}} {{hypothesis}} ||| {{answer_choices[label]}}", "yes ||| no")
TYPO = ("typo", "{{premisse}} ||| {{answer_choices[label]}}", "yes ||| no")


@pytest.mark.parametrize(
    "bad, words",
    [
        (TYPO, ["train/toy/nli", "template 'typo'", "'premisse'", "nearest: premise"]),
        (("a", "{{premise}} ||| {{answer_choices[lable]}}", "yes ||| no"), ["'lable'", "label"]),
        (("a", "{{premise}} ||| {{answer_choices[label]}}", "yes ||| {{hypotesis}}"),
         ["'hypotesis'", "nearest: hypothesis"]),
        (("a", "{{premise}} {{answer_choices[label]}}", "yes ||| no"), ["no '|||'", "template 'a'"]),
        (("a", "{{premise}} ||| {{answer_choices[label]}}", "yes, no"), ["'yes, no', a single"]),
        (("a", "{% if label == 7 %}{{premise}} ||| x{% endif %}", "null"),
         ["template 'a'", "any of the 20 rows of train/toy/nli", "20 not two parts"]),
        (("a", "{{premise}} ||| {{answer_choices[label + 5]}}", "yes ||| no"),
         ["drop rules metro: 20 empty target"]),
        (("a", "{% if label == 7 %}{{premise}}{% endif %} ||| x", "null"), ["20 empty input"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [[], ["--show", "2"]])
def test_a_template_that_cannot_work_is_an_error_and_nothing_is_written(fresh, bad, words, more):
    templates(fresh, GOOD, bad)
    only(fresh)
    with pytest.raises(UserError) as error:
        main(toys.command(fresh, "--split", "train", *more))
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value) and not (fresh / "data").exists()


def test_a_template_may_ask_for_fields_that_rows_may_lack(fresh):
    asks = "{% if hint is defined %}{{hint}}{% endif %}{{premise}} {{note | default(0)}} ||| x"
    templates(fresh, ("a", asks, "null"))
    only(fresh)
    assert open_split(toys.build(fresh, "--split", "train"), "train").tasks[0].rows == 20


def test_a_template_for_few_rows_gives_nothing_for_a_draw_without_them(fresh, caplog):
    rare = ("rare", "{% if premise == hypothesis %}{{premise}} ||| same{% endif %}", "null")
    templates(fresh, GOOD, rare)
    only(fresh)
    path = fresh / "tasks/toy/nli/train.jsonl"
    rows = toys.nli_rows(300, 1)
    toys.write_rows(path, [*rows, {**rows[0], "hypothesis": rows[0]["premise"]}])
    data = toys.build(fresh, "--split", "train")
    assert open_split(data, "train").tasks[1].rows == 1
    data = toys.build(fresh, "--split", "train", "--limit", "3", dest="drawn")
    assert open_split(data, "train").tasks[1].rows == 0
    assert "template 'rare': gives no pair for any of the 3 rows" in caplog.text


def test_training_rows_that_are_all_evaluation_rows_are_an_error(fresh):
    templates(fresh, GOOD)
    only(fresh)
    (fresh / "tasks/toy/nli/validation.jsonl").write_bytes(
        (fresh / "tasks/toy/nli/train.jsonl").read_bytes()
    )
    with pytest.raises(UserError, match=r"any of the 20 rows .* 20 evaluation row"):
        main(toys.command(fresh, "--evaluation-overlap", "drop"))
    assert not (fresh / "data/train").exists()


def test_what_evaluation_alone_leaves_out_is_a_warning_in_valid(fresh, caplog):
    """As imdb's template of negations, whose targets are no choices."""
    templates(fresh, ("a", "{{premise}} ||| very {{answer_choices[label]}}", "good ||| bad"))
    only(fresh)
    data = toys.build(fresh)
    assert open_split(data, "train").tasks[0].rows == 20
    assert open_split(data, "valid").tasks[0].rows == 0
    assert "valid/toy/nli (drop rules evaluation: 30 target not among choices)" in caplog.text


def test_ready_made_pairs_without_text_are_an_error(fresh):
    toys.write_rows(fresh / "pairs.jsonl", [{"inputs": "a", "targets": " "}] * 3)
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: mine\nsets: [{dataset: ready, jsonl: [pairs.jsonl]}]\n"
    )
    with pytest.raises(UserError, match=r"pairs.jsonl: gives no pair .* 3 empty target"):
        main(toys.command(fresh, "--split", "train"))


def test_show_needs_no_validation_split(fresh, capsys):
    (fresh / "tasks/toy/nli/validation.jsonl").unlink()
    only(fresh)
    assert main(toys.command(fresh, "--show", "1")) == 0
    shown = capsys.readouterr().out
    assert "train/toy_nli_can_we_infer" in shown and "valid/" not in shown
    with pytest.raises(UserError, match="no data set for --split valid"):
        main(toys.command(fresh, "--show", "1", "--split", "valid"))


def test_where_every_row_that_is_looked_at_is_bad_the_first_ones_problem_is_said(fresh):
    """--limit looks at some rows alone, so that the file's end is never reached."""
    (fresh / "tasks/toy/nli/train.jsonl").write_text("[1]\n" * 40)
    only(fresh)
    with pytest.raises(UserError, match=r"train.jsonl: line 1\b") as caught:
        main(toys.command(fresh, "--split", "train", "--limit", "3"))
    assert "gives no pair" not in str(caught.value)


def test_every_template_of_the_real_sets_passes(shared, tmp_path, capsys):
    """Promptsource's and the package's own, on the first rows of each data set."""
    names = "glue/sst2 glue/cola trec dream subj mr cr super_glue/rte super_glue/cb".split()
    (tmp_path / "mixture.yaml").write_text(
        f"version: 1\nname: all\nrule: metro\nsets: [{', '.join(names)}]\n"
    )
    words = ["--mixture", tmp_path / "mixture.yaml", "--tasks", shared / "data" / "tasks",
             "--vocab", samples.vocabulary().path, "--split", "train", "--show", "1"]  # fmt: skip
    assert main(list(map(str, words))) == 0
    shown = capsys.readouterr().out
    assert all(f"\ntrain/{name.replace('/', '_')}_" in shown for name in names)


# What is trained on is not held out


def test_a_set_trained_on_and_held_out_is_an_error_and_nothing_is_written(fresh):
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: mine\nsets: [toy/nli]\nheldout: [toy/nli]\n"
    )
    for more in (["--split", "train"], ["--split", "train", "heldout"], ["--show", "1"]):
        with pytest.raises(UserError, match="toy/nli stands under 'sets' and under 'heldout'"):
            main(toys.command(fresh, *more))
    assert not (fresh / "data").exists()


def test_the_same_files_under_two_names_are_one_set(fresh):
    (fresh / "tasks/toy/twin").symlink_to(fresh / "tasks/toy/nli")
    (fresh / "held.yaml").write_text(toys.NLI.replace("toy/nli", "toy/twin"))
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: mine\nsets: [toy/nli]\nheldout: [toy/twin]\n"
    )
    with pytest.raises(
        UserError, match=r"toy/nli under 'sets' and toy/twin under 'heldout' are th"
    ):
        main(toys.command(fresh, "--split", "train", "heldout"))
    assert not (fresh / "data").exists()


def test_a_set_left_out_of_training_on_the_command_line_may_be_held_out(fresh):
    (fresh / "mixture.yaml").write_text(
        "version: 1\nname: mine\nsets: [{dataset: toy/nli, cluster: nli}, toy/qa]\n"
        "heldout: [toy/nli]\n"
    )
    words = ["--split", "train", "heldout"]
    with pytest.raises(UserError, match="'heldout'"):
        main(toys.command(fresh, *words))
    data = toys.build(fresh, *words, "--hold-out", "nli")
    assert {task.name.split("_")[1] for task in open_split(data, "train").tasks} == {"qa"}
