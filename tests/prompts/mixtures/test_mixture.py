"""Tasks of a mixture, clusters held out, the form of its inputs."""

from dataclasses import replace

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import Prompted, Templates
from fairseq_metro.prompts.mixtures import Mixture, MixtureSet, flan, load_mixture
from tests.prompts.mixtures.made_up import template, templates, write


def mixture(*sets, **kwargs):
    sets = tuple(MixtureSet(one, one) if isinstance(one, str) else one for one in sets)
    return Mixture("mine", **{"rule": "metro", "sets": sets, **kwargs})


def test_tasks_are_in_the_files_order_then_by_template():
    found = templates(z=["b", "c"], a=["d"])
    tasks = mixture("z", "a").tasks(found)
    assert [task.name for task in tasks] == ["z_b", "z_c", "a_d"]
    assert [(task.index, task.of) for task in tasks] == [(0, 2), (1, 2), (0, 1)]
    assert tasks[0].template is found.get("z", "b") and tasks[0].set.dataset == "z"


def test_excluded_tasks_do_not_count_for_the_cap():
    tasks = mixture("z", exclude_tasks=("z_c", "z_unknown")).tasks(templates(z=["b", "c", "d"]))
    assert [(task.name, task.of) for task in tasks] == [("z_b", 2), ("z_d", 2)]


def test_a_set_without_templates_is_an_error_or_left_out(caplog):
    found = templates(imdb=["b"])
    strict = mixture("imbd", "imdb")
    assert strict.with_templates(found) == strict
    with pytest.raises(UserError, match="nearest: imdb"):
        strict.tasks(found)
    one = mixture("imbd", "imdb", without_templates="leave out").with_templates(found)
    assert [task.name for task in one.tasks(found)] == ["imdb_b"]
    assert [one.dataset for one in one.left_out] == ["imbd"]
    assert "mixture mine: 1 of 2 sets have no templates and are left out: imbd" in caplog.text
    with pytest.raises(UserError, match="nearest: imdb"):  # of all of them none has any
        mixture("imbd", "imdbs", without_templates="leave out").with_templates(found)


def test_the_original_tasks_templates_and_the_first_of_them(tmp_path, caplog):
    found = templates(z=["a!", "b", "c"], y=["d!"], x=["e"], w=["f!", "g"])
    names = {}
    for selection in ("all", "original", "first-original"):
        path = write(tmp_path, "rule: t0\nsets: [z, y, x, {dataset: w, templates: [f]}]\n"
                     f"templates: {selection}\nheldout: [w]\n")  # fmt: skip
        one = load_mixture(path).with_templates(found)
        names[selection] = [task.name for task in one.tasks(found)]
        assert next(task.known for task in one.tasks(found) if task.dataset == "z") == 3
        assert [task.name for task in one.tasks(found, "heldout")] == ["w_f", "w_g"]
    assert names == {
        "all": ["z_a", "z_b", "z_c", "y_d", "x_e", "w_f"],
        "original": ["z_b", "z_c", "x_e", "w_f"],  # what a set says itself stays
        "first-original": ["z_b", "x_e", "w_f"],
    }
    assert "1 of 4 sets have no template of the original task and are left out: y" in caplog.text
    path = write(tmp_path, "sets: [y]\ntemplates: original\n")
    with pytest.raises(UserError, match="no set has a template of the original task"):
        load_mixture(path).with_templates(found)


def test_tasks_of_evaluation_splits_are_those_of_their_own_sets():
    one = mixture("z", heldout=(MixtureSet("a", "a", templates=("d",)),))
    assert [task.name for task in one.tasks(templates(a=["d", "e"]), "heldout")] == ["a_d"]
    assert one.tasks(templates(), "valid") == []


def test_two_sets_that_make_the_same_task_are_refused():
    with pytest.raises(UserError, match="two tasks called 'a_b_c'"):
        mixture("a", "a_b").tasks(templates(a=["b c"], a_b=["c"]))


def test_a_data_set_may_be_there_twice_under_two_names():
    sets = [MixtureSet("anli", f"anli/r{i}", split=f"train_r{i}") for i in (1, 2)]
    tasks = mixture(*sets).tasks(templates(anli=["x"]))
    assert [task.name for task in tasks] == ["anli_r1_x", "anli_r2_x"]
    caps, _ = mixture(*sets, cap=10).caps_and_rates({"anli/r1": 100, "anli/r2": 3}, tasks)
    assert caps == {"anli_r1_x": 10, "anli_r2_x": 10}


def test_flans_numbers_are_the_mixtures():
    one = mixture("z", rule="flan", cap=7, max_rate=4)
    caps, rates = one.caps_and_rates({"z": 100}, one.tasks(templates(z=["a", "b"])))
    assert caps == {"z_a": 3, "z_b": 3} and rates == {"z_a": 2, "z_b": 2}


def test_without_instructions_a_set_has_one_task_with_an_original_tasks_answers():
    (task,) = mixture("z", mode="none").tasks(templates(z=["a!", "b", "c"]))
    assert (task.name, task.of) == ("z_b", 1)
    some = template("z", "a", "{% if label %}{{ text }} ||| 1{% endif %}", original_task=True)
    every = template("z", "b", "{% if label %}{{ text }}{% endif %} ||| 1", original_task=True)
    found = Templates({"z": lambda: [some, every]})
    (task,) = mixture("z", mode="none").tasks(found)
    assert task.template is every and not flan.for_every_row(some)


def test_ablations_of_the_instruction_are_evaluated_with_instructions():
    made = mixture("z", mode="none", heldout=(MixtureSet("a", "a"),))
    tasks = made.tasks(templates(a=["b", "c"]), "heldout")
    assert [task.name for task in tasks] == ["a_b", "a_c"]
    given = Prompted("Tell me: x", "y")
    assert made.dress(tasks[0], {"text": "x"}, given) == given


def test_inputs_take_the_mixtures_form():
    one = MixtureSet("glue/cola", "glue/cola", cluster="grammar")
    found = template("glue/cola", "x", "Is this right? {{ sentence }} ||| {{ label }}")
    given = Prompted("Is this right? He go.", "No", ("Yes", "No"))
    row = {"sentence": "He go.", "label": 1}

    def dressed(**kwargs):
        made = mixture(one, **kwargs)
        (task,) = made.tasks(templates(**{"glue/cola": ["x"]}))
        task = replace(task, template=found)
        return made.dress(task, row, given)

    assert dressed() == given
    assert dressed(mode="none") == given._replace(input="He go.")
    assert dressed(mode="dataset-name").input == "[grammar: glue/cola] He go."
    assert dressed(options=True).input == "Is this right? He go.\nOPTIONS:\n- Yes\n- No"
    assert dressed(mode="none", options=True).input == "He go.\nOPTIONS:\n- Yes\n- No"


def test_a_held_out_cluster_leaves_training_with_its_relatives():
    whole = load_mixture("flan")
    assert not whole.is_unseen("super_glue/rte")
    without = whole.without_clusters("nli")
    gone = {one.cluster for one in whole.sets} - {one.cluster for one in without.sets}
    assert gone == {"nli", "paraphrase"}
    assert without.is_unseen("super_glue/rte") and without.is_unseen("anli")
    assert not without.is_unseen("super_glue/boolq")
    assert without.sets == tuple(one for one in whole.sets if one.cluster not in gone)
    assert whole.without_clusters("paraphrase").sets == without.sets  # whichever is named
    reading = whole.without_clusters("reading_comprehension")
    assert reading.is_unseen("cosmos_qa") and not reading.is_unseen("piqa")


def test_a_set_is_unseen_only_where_its_whole_cluster_is():
    one = mixture(
        MixtureSet("mnli", "mnli", cluster="nli"), MixtureSet("imdb", "imdb", cluster="s")
    )
    assert not one.is_unseen("rte", "nli") and one.is_unseen("copa", "commonsense")
    assert not one.is_unseen("imdb", "commonsense")  # trained on, whatever it is called
    with pytest.raises(UserError, match="no cluster known of data set 'rte'"):
        one.is_unseen("rte")
    with pytest.raises(UserError, match=r"no cluster 'nil' .nearest: nli."):
        one.without_clusters("nil")
