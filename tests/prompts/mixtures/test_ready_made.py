"""The package's mixtures against the published numbers, and against promptsource where it is."""

from collections import Counter

import pytest

from fairseq_metro.prompts import find_templates
from fairseq_metro.prompts.collection import promptsource_folder
from fairseq_metro.prompts.mixtures import caps_and_rates, load_mixture, mixture_names
from fairseq_metro.prompts.task_data import open_dataset

# Tables, tasks, METRO's examples of an epoch, T0's sum of rates: METRO-T0 A.3, T0's released table.
PUBLISHED = {
    "t0": (38, 313, 10_606_443, 17_277_798),
    "t0+": (48, 392, 12_937_480, 20_672_671),
    "t0++": (54, 464, 13_868_800, 23_118_591),
}
# Of METRO's T0 epoch and of T0's draws, in per cent.
SHARES = {
    "cnn_dailymail/3.0.0": (4.7, 15.0),
    "glue/qqp": (4.7, 12.6),
    "xsum": (4.7, 11.8),
    "app_reviews": (4.7, 6.7),
}


@pytest.fixture(scope="module")
def promptsource():
    if promptsource_folder() is None:
        pytest.skip("promptsource is not installed: its templates cannot be counted")
    return find_templates("promptsource")


def totals(mixture, tasks):
    """Examples of METRO's epoch and sum of T0's rates."""
    rows = {one.dataset: one.rows for one in mixture.sets}
    caps, _ = caps_and_rates("metro", rows, tasks)
    _, rates = caps_and_rates("t0", rows, tasks)
    return sum(min(caps[t.name], rows[t.dataset]) for t in tasks), sum(rates.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_tables_tasks_and_examples_are_the_published_ones(name):
    mixture = load_mixture(name)
    tasks = mixture.published_tasks()
    assert (len(mixture.sets), len(tasks), *totals(mixture, tasks)) == PUBLISHED[name]
    assert mixture.name == name and mixture.rule == "metro"


@pytest.mark.parametrize("name", PUBLISHED)
def test_promptsource_has_the_templates_that_the_mixture_counts(name, promptsource):
    mixture = load_mixture(name)
    tasks = mixture.tasks(promptsource)
    assert (len(mixture.sets), len(tasks), *totals(mixture, tasks)) == PUBLISHED[name]
    for one in mixture.sets:
        found = promptsource.of(one.dataset)
        original = sum(template.original_task for template in found)
        with_choices = sum(template.answer_choices is not None for template in found)
        assert one.counts == (len(found), original, with_choices), one.dataset


@pytest.mark.parametrize("dataset", SHARES)
def test_shares_of_t0s_largest_sets_are_the_published_ones(dataset):
    mixture = load_mixture("t0")
    tasks, rows = mixture.published_tasks(), {one.dataset: one.rows for one in mixture.sets}
    caps, _ = caps_and_rates("metro", rows, tasks)
    _, rates = caps_and_rates("t0", rows, tasks)
    used = {task.name: min(caps[task.name], rows[task.dataset]) for task in tasks}
    for amounts, percent in zip((used, rates), SHARES[dataset], strict=True):
        share = sum(amounts[task.name] for task in tasks if task.dataset == dataset)
        assert round(100 * share / sum(amounts.values()), 1) == percent


@pytest.mark.parametrize(
    ("name", "prompts", "mean"),
    [("t0", 313, 8.03), ("t0-original-prompts", 222, 5.69), ("t0-one-prompt", 35, None)],
)
def test_t0s_mixtures_of_fewer_prompts_are_those_of_its_section_6(
    name, prompts, mean, promptsource
):
    """p = 1, 5.7 and 8.03 prompts for each of 39 data sets, as T0 counts them; t-zero's caps."""
    mixture = load_mixture(name).with_templates(promptsource)
    tasks = mixture.tasks(promptsource)
    assert len(tasks) == prompts and (mean is None or round(prompts / 39, 2) == mean)
    if name == "t0":
        return
    assert mixture.rule == "t0"
    assert [one.dataset for one in mixture.left_out] == [
        "kilt_tasks/hotpotqa",
        "quarel",
        "app_reviews",
    ]
    assert {one.dataset for one in mixture.left_out} == {
        one.dataset for one in load_mixture("t0").sets if one.counts[1] == 0
    }
    rows = {one.dataset: one.rows for one in mixture.sets}
    _, whole = caps_and_rates("t0", rows, load_mixture("t0").without_datasets(
        "kilt_tasks/hotpotqa", "quarel", "app_reviews").tasks(promptsource))  # fmt: skip
    _, rates = caps_and_rates("t0", rows, tasks)
    assert rates == {task.name: whole[task.name] for task in tasks}
    for task in tasks:
        original = [t.name for t in promptsource.of(task.dataset) if t.original_task]
        assert task.template.name in (original if name == "t0-original-prompts" else original[:1])


def test_t0s_mixtures_are_cumulative():
    small, middle, large = (load_mixture(name).sets for name in PUBLISHED)
    assert middle[: len(small)] == small and large[: len(middle)] == middle


def test_held_out_sets_of_t0_are_in_none_of_them():
    trained = {one.dataset for one in load_mixture("t0++").sets}
    held_out = "super_glue/rte super_glue/cb anli winogrande/winogrande_xl story_cloze/2016".split()
    assert not trained & set(held_out)
    assert all(one.cluster and one.rows for one in load_mixture("t0++").sets)


def test_the_excluded_tasks_are_none_of_t0pp(promptsource):
    mixture = load_mixture("t0++")
    assert len(mixture.exclude_tasks) == len(set(mixture.exclude_tasks)) == 24
    every = {t.task_name for one in mixture.sets for t in promptsource.of(one.dataset)}
    assert not every & set(mixture.exclude_tasks) and len(every) == 464


def test_flan_has_its_clusters_and_data_sets():
    flan = load_mixture("flan")
    merged = {"anli/r1": "anli", "anli/r2": "anli", "anli/r3": "anli"}
    merged |= {"ai2_arc/ARC-Challenge": "arc", "ai2_arc/ARC-Easy": "arc"}
    sets = {(one.cluster, merged.get(one.name, one.name)) for one in flan.sets}
    counts = Counter(cluster for cluster, _ in sets)
    assert len(sets) == 62
    assert counts == {
        "nli": 7,
        "commonsense": 4,
        "sentiment": 4,
        "paraphrase": 4,
        "closed_book_qa": 3,
        "structure_to_text": 4,
        "reading_comprehension": 5,
        "reading_comprehension_with_commonsense": 2,
        "coreference": 3,
        "miscellaneous": 7,
        "summarization": 11,
        "translation": 8,
    }
    assert (flan.rule, flan.cap, flan.max_rate, flan.options) == ("flan", 30_000, 3_000, True)


def test_flan_builds_on_the_templates_that_promptsource_has(promptsource):
    tasks = load_mixture("flan").with_templates(promptsource).tasks(promptsource)
    assert {"anli_r1_can_we_infer", "anli_r3_can_we_infer"} < {task.name for task in tasks}
    assert len({task.set.name for task in tasks}) == 49


def test_the_small_real_mixture_holds_out_what_it_says():
    small = load_mixture("real-small")
    assert load_mixture("benchmark_small") == small and "real-small" in mixture_names()
    assert [one.dataset for one in small.heldout] == ["super_glue/rte", "super_glue/cb", "cr"]
    assert not {one.dataset for one in small.sets} & {one.dataset for one in small.heldout}
    assert small.is_unseen("super_glue/rte") and not small.is_unseen("cr")
    subj_train, subj_valid = (
        next(one for one in sets if one.dataset == "subj") for sets in (small.sets, small.valid)
    )
    assert subj_train.split == subj_valid.split == "train"
    assert not set(subj_train.row_indices(10_000)) & set(subj_valid.row_indices(10_000))


def test_the_small_real_mixture_finds_its_rows_and_templates(shared):
    if promptsource_folder() is None:
        pytest.skip("promptsource is not installed")
    small, templates = load_mixture("real-small"), find_templates()
    counts = {}
    for split in ("train", "valid", "heldout"):
        for task in small.tasks(templates, split):
            data = open_dataset(task.source, folder=shared / "data" / "tasks")
            rows = task.set.row_indices(data.count(task.set.split))
            counts.setdefault((split, task.dataset), []).append(len(rows))
    assert {key: (rows[0], len(rows)) for key, rows in counts.items()} == {
        ("train", "glue/sst2"): (6920, 5),
        ("train", "trec"): (5452, 18),
        ("train", "glue/cola"): (7250, 5),
        ("train", "dream"): (6116, 2),
        ("train", "subj"): (9000, 6),
        ("valid", "glue/sst2"): (872, 5),
        ("valid", "trec"): (500, 7),
        ("valid", "glue/cola"): (1043, 5),
        ("valid", "dream"): (510, 2),
        ("valid", "subj"): (500, 6),
        ("heldout", "super_glue/rte"): (277, 10),
        ("heldout", "super_glue/cb"): (56, 15),
        ("heldout", "cr"): (944, 6),
    }
