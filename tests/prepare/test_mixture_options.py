"""Options that change a mixture: clusters held out, some alone, FLAN's ablations."""

import json

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.prompted_files import open_split
from fairseq_metro.prepare.prompted.mixture_options import chosen_mixture
from fairseq_metro.prepare.prompted.plan import parser
from fairseq_metro.prompts.mixtures import load_mixture
from fairseq_metro.recipes.finetuning import check_folder
from tests.prepare import prompted_samples
from tests.prompts.mixtures.made_up import write


def chosen(*words, mixture="flan"):
    return chosen_mixture(parser().parse_args(["--mixture", mixture, "--vocab", "v", *words]))


def test_a_held_out_cluster_takes_its_relatives_with_it():
    mixture = chosen("--hold-out", "nli", "closed_book_qa", "commonsense")
    assert set(load_mixture("flan").clusters()) - set(mixture.clusters()) == {
        "nli", "paraphrase", "closed_book_qa", "commonsense", "reading_comprehension_with_commonsense",
    }  # fmt: skip
    assert mixture.name == "flan (hold out: nli, closed_book_qa, commonsense)"
    assert mixture.is_unseen("super_glue/rte") and not mixture.is_unseen("squad")


def test_clusters_and_data_sets_alone():
    assert chosen("--clusters", "translation").clusters() == ["translation"]
    mixture = chosen("--only", "super_glue/rte", mixture="super_glue")
    assert [one.dataset for one in mixture.sets] == ["super_glue/rte"]
    assert mixture.name == "super_glue (only: super_glue/rte)"


def test_a_file_may_say_which_clusters_stay(tmp_path):
    path = write(tmp_path, "include: [flan]\nclusters: [summarization, sentiment]\n")
    assert load_mixture(path).clusters() == ["sentiment", "summarization"]


def test_the_ablations_change_the_form_of_inputs():
    assert chosen("--mode", "none").mode == "none"
    assert chosen("--exemplars", "0", "4").exemplars == (0, 4)
    assert chosen("--exemplars", "3").exemplars == (3, 3)
    assert chosen("--exemplars", "16").exemplars == (16, 16)  # FLAN, section 4.4
    assert chosen() == load_mixture("flan")


def test_a_temperature_takes_the_rules_place():
    mixture = chosen("--temperature", "2", "--cap", "1000")
    assert (mixture.rule, mixture.temperature, mixture.cap) == ("temperature", 2.0, 1000)
    assert mixture.max_rate is None and mixture.name == "flan (temperature: 2, cap: 1000)"
    assert chosen("--temperature", "2").cap is None  # FLAN's 30,000 are of its own rule
    capped = chosen("--cap", "1000")
    assert (capped.rule, capped.cap, capped.name) == ("flan", 1000, "flan (cap: 1000)")


def test_data_built_with_a_temperature_draws_by_it(tmp_path):
    prompted_samples.write_all(tmp_path, rows=40)
    words = ["--split", "train", "--temperature", "2", "--cap", "25"]
    data = prompted_samples.build(tmp_path, *words)
    facts = json.loads((data / "train" / "mixture.json").read_text())
    assert facts["rule"] == "temperature"
    assert {task["name"]: task["rate"] for task in facts["tasks"]} == {
        "toy_nli_can_we_infer": 5.0, "toy_nli_only_for_label_1": 5.0, "toy_nli_random_words": 5.0,
        "toy_qa_ask": 20**0.5, "toy_qa_choose": 20**0.5,
    }  # fmt: skip
    assert open_split(data, "train").rule == "temperature"
    with pytest.raises(UserError, match="was made with"):
        prompted_samples.build(tmp_path, "--split", "train", "--temperature", "3", "--cap", "25")


@pytest.mark.parametrize(
    "words, said",
    [
        (["--hold-out", "nlli"], "mixture flan: no cluster 'nlli' .nearest: nli"),
        (["--clusters", "x"], "mixture flan: no cluster 'x'"),
        (["--only", "super_glue/rt"], "mixture flan: no data set 'super_glue/rt'"),
        (["--clusters", "nli", "--only", "imdb"], "no data set 'imdb'"),
        (["--temperature", "0"], "--temperature is 0, must be a number above 0"),
        (["--temperature", "nan"], "--temperature is nan, must be a number above 0"),
        (["--cap", "0"], "--cap is 0, must be at least 1"),
        (["--exemplars", "17"], "--exemplars 17: give a number from 0 to 16"),
        (["--exemplars", "3", "1"], "--exemplars 3 1: give a number from 0"),
        (["--exemplars", "1", "2", "3"], "--exemplars 1 2 3: give a number"),
    ],
)
def test_what_cannot_be_is_one_line(words, said):
    with pytest.raises(UserError, match=said):
        chosen(*words)


def test_holding_everything_out_leaves_nothing_to_train_on(tmp_path):
    path = write(tmp_path, "sets: [{dataset: imdb, cluster: a}]")
    with pytest.raises(UserError, match="no data set is left to train on"):
        chosen("--hold-out", "a", mixture=str(path))


def test_a_built_folder_says_what_was_held_out(tmp_path):
    prompted_samples.write_all(tmp_path, rows=20)
    data = prompted_samples.build(tmp_path, "--hold-out", "nli", "--split", "train")
    facts = json.loads((data / "train" / "mixture.json").read_text())
    assert facts["mixture"] == "toys (hold out: nli)"
    assert {task["dataset"] for task in facts["tasks"]} == {"toy/qa"}
    assert check_folder(data, "toys") == ([], [])
    assert check_folder(data, "t0")[1]
    with pytest.raises(UserError, match="toys"):  # no other data into the same folder
        prompted_samples.build(tmp_path, "--split", "train")
