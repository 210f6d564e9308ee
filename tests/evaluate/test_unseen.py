"""FLAN's protocol: a set is evaluated only where nothing of its cluster was trained on."""

import json

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.command import main
from fairseq_metro.evaluate.results import read_results
from fairseq_metro.evaluate.suite import load_suite
from fairseq_metro.evaluate.unseen import trained_mixture, unseen_suites
from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.mixtures import load_mixture
from tests.evaluate.conftest import SUITE
from tests.evaluate.test_command import arguments


def write_data(folder, *tasks):
    """A folder of prompted pairs, as far as the protocol reads it; tasks: (data set, cluster)."""
    tasks = [{"name": name, "dataset": name, "cluster": cluster} for name, cluster in tasks]
    facts = {"mixture": "mine", "rule": "metro", "tasks": tasks}
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "mixture.json").write_text(json.dumps(facts))
    return folder


def test_a_cluster_that_was_trained_on_is_left_out_and_the_report_says_why(tmp_path):
    data = write_data(tmp_path / "data", ("snli", "nli"), ("imdb", "sentiment"))
    (suite,), left_out = unseen_suites([load_suite("flan")], data)
    clusters = {one.cluster for one in load_suite("flan").sets}
    assert {one.cluster for one in suite.sets} == clusters - {"nli", "sentiment"}
    assert "super_glue/rte" in left_out and "trains on sets of the cluster nli" in str(left_out)
    with pytest.raises(UserError, match="no set of flan is unseen by the mixture mine"):
        every = write_data(tmp_path / "all", *((name, name) for name in clusters))
        unseen_suites([load_suite("flan")], every)


def test_the_clusters_of_flans_suite_are_those_of_its_mixture():
    suite, mixture = load_suite("flan"), load_mixture("flan")
    for one in suite.sets:
        assert one.cluster in mixture.clusters(), one.name
        assert mixture.cluster_of(one.dataset) in (None, one.cluster), one.name
        held_out = mixture.without_clusters(one.cluster)
        assert held_out.is_unseen(one.dataset, one.cluster), one.name


def test_a_folder_of_others_does_not_say_what_was_trained_on(tmp_path):
    with pytest.raises(UserError, match=r"mixture.json: does not say which data sets"):
        trained_mixture(tmp_path)


def test_the_command_evaluates_unseen_sets_alone(toys, tmp_path):
    text = SUITE.replace("label: Kind", "label: Kind\n    cluster: a")
    text = text.replace("label: Pick", "label: Pick\n    cluster: b")
    (tmp_path / "suite.yaml").write_text(text)
    data = write_data(tmp_path / "data", ("other/set", "b"))
    words = [*arguments(toys, tmp_path / "out"), "--suite", str(tmp_path / "suite.yaml")]
    assert main([*words, "--unseen-by", str(data)]) == 0
    assert sorted(read_results(tmp_path / "out")) == ["toy_kind_silent", "toy_kind_which"]
    report = (tmp_path / "out" / "report.md").read_text()
    assert "- toy/pick: not unseen: " in report and "NOT the whole suite" in report
    words[words.index("--out") + 1] = str(tmp_path / "other")
    assert main([*words, "--clusters", "b"]) == 0
    assert sorted(read_results(tmp_path / "other")) == ["toy_pick_pick"]
    with pytest.raises(UserError, match=r"suite toys: no cluster 'c'"):
        main([*words, "--clusters", "c"])


def test_inputs_behind_the_data_sets_name(toys, tmp_path, monkeypatch):
    from fairseq_metro.evaluate import examples

    seen = []
    prompt_of = examples.prompt_of
    monkeypatch.setattr(examples, "prompt_of",
                        lambda *given: seen.append(prompt_of(*given)) or seen[-1])  # fmt: skip
    words = arguments(toys, tmp_path / "out", "--sets", "toy/kind", "--mode", "dataset-name")
    assert main(words) == 0
    (name,) = read_results(tmp_path / "out")  # one template: without its words it is like any other
    assert name == "toy_kind_which"
    rows = [json.loads(line) for line in (toys / "tasks/toy/kind/validation.jsonl").open()]
    assert [pair.input for pair in seen] == [f"[toy/kind] {row['text']}" for row in rows]
    assert seen[0].choices == ("small", "old")


def test_a_set_without_templates_is_left_out(tmp_path):
    """Translation has no templates but FLAN's own."""
    from fairseq_metro.evaluate.examples import Form
    from fairseq_metro.evaluate.runner import Job, open_sets
    from tests.evaluate.fakes import write_rows

    suite = load_suite("flan").with_sets(["wmt14/fr-en", "cosmos_qa"])
    write_rows(tmp_path, "wmt14/fr-en", [{"translation": {"en": "a", "fr": "b"}}], "test")
    job = Job(suite, find_templates("own"), tmp_path, False, tmp_path / "out", Form())
    opened, left_out = open_sets(job)
    assert not opened and "no templates of data set 'wmt14/fr-en'" in left_out["wmt14/fr-en"]
    suite = suite.with_sets(["wmt14/fr-en"])
    with pytest.raises(UserError, match="no templates of data set 'wmt14/fr-en'"):
        open_sets(Job(suite, find_templates("own"), tmp_path, False, tmp_path, Form(), strict=True))
