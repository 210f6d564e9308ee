"""Options that change a mixture: clusters held out, some alone, FLAN's ablations."""

import json

import pytest

from fairseq_metro.errors import UserError
from fairseq_metro.mixtures import load_mixture
from fairseq_metro.planning.finetuning import check_folder
from fairseq_metro.prepare.prompted.mixture_options import chosen_mixture
from fairseq_metro.prepare.prompted.plan import parser
from tests.mixtures.made_up import write
from tests.prepare import prompted_samples


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


@pytest.mark.parametrize(
    "words, said",
    [
        (["--hold-out", "nlli"], "mixture flan: no cluster 'nlli' .nearest: nli"),
        (["--clusters", "x"], "mixture flan: no cluster 'x'"),
        (["--only", "super_glue/rt"], "mixture flan: no data set 'super_glue/rt'"),
        (["--clusters", "nli", "--only", "imdb"], "no data set 'imdb'"),
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
