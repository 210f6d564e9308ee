"""What is trained on is not held out: by its name, another name, or as a part."""

import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts.mixtures import load_mixture, mixture_names
from tests.prompts.mixtures.made_up import write


@pytest.mark.parametrize(
    "text, one, other",
    [
        ("sets: [glue/sst2]\nheldout: [glue/sst2]", "glue/sst2", "'heldout'"),
        ("sets: [glue/rte]\nheldout: [super_glue/rte]", "glue/rte", "as super_glue/rte"),
        ("sets: [rte]\nheldout: [super_glue/rte]", "rte", "as super_glue/rte"),
        ("sets: [{dataset: anli, name: r1, split: train_r1}]\n"
         "heldout: [{dataset: anli, name: r3, split: dev_r3}]", "r1", "as r3"),
        ("sets: [race/high]\nheldout: [race/middle]", "race/high", "as race/middle"),
        ("sets: [glue/mnli]\nheldout: [multi_nli]", "glue/mnli", "as multi_nli"),
        ("sets: [{dataset: trec, keep_every: 2}]\n"
         "heldout: [{dataset: trec, name: other, split: train, leave_every: 2}]", "trec", "other"),
        ("include: [t0]\nheldout: [super_glue/rte, imdb]", "imdb", "'heldout'"),
        ("include: [t0]\nheldout: [mr]", "rotten_tomatoes", "as mr"),
        ("include: [t0++]\nheldout: [super_glue/wic]", "super_glue/wic", "'heldout'"),
        ("include: [held.yaml]\nsets: [super_glue/rte]", "super_glue/rte", "'heldout'"),
        ("include: [held.yaml, trained.yaml]", "glue/rte", "as super_glue/rte"),
        ("include: [flan]\nheldout: [{dataset: super_glue/rte, name: x}]", "super_glue/rte", "as x"),
        ("include: [no_nli.yaml]\nsets: [super_glue/rte]", "super_glue/rte", "cluster 'nli'"),
        ("include: [no_nli.yaml]\nsets: [{dataset: my/nli, cluster: nli}]", "my/nli", "'hold_out'"),
        ("include: [no_nli.yaml]\nsets: [{dataset: paws/x, name: p, cluster: paraphrase}]", "p",
         "'hold_out'"),
    ],
)  # fmt: skip
def test_a_set_that_is_trained_on_and_held_out_is_an_error(tmp_path, text, one, other):
    write(tmp_path, "sets: [x]\nheldout: [super_glue/rte]\n", "held.yaml")
    write(tmp_path, "sets: [glue/rte]\n", "trained.yaml")
    write(tmp_path, "include: [flan]\nhold_out: [nli]\n", "no_nli.yaml")
    with pytest.raises(UserError) as error:
        load_mixture(write(tmp_path, text)).refuse_trained_and_held_out()
    message = str(error.value)
    assert f"{one} stands under 'sets'" in message and other in message and "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        "sets: [glue/sst2]\nheldout: [glue/cola, super_glue/rte]",
        "sets: [glue/sst2]\nvalid: [glue/sst2]\nheldout: [cr]",
        "sets: [my/set]\nheldout: [my/other]",
        "include: [flan]\nhold_out: [nli]\nheldout: [super_glue/rte, anli]",
        "include: [flan]\nhold_out: [nli]\nclusters: [sentiment]",
        "sets: [{dataset: a, cluster: nli}, {dataset: b, cluster: qa}]\nhold_out: [nli]",
        "sets: [{dataset: a, cluster: nli}]\nheldout: [{dataset: b, cluster: nli}]",
    ],
)
def test_what_a_mixture_intends_is_none(tmp_path, text):
    load_mixture(write(tmp_path, text)).refuse_trained_and_held_out()


def test_the_packages_own_mixtures_pass_with_any_cluster_held_out():
    for name in mixture_names():
        mixture = load_mixture(name)
        mixture.refuse_trained_and_held_out()
        for cluster in mixture.clusters():
            mixture.without_clusters(cluster).refuse_trained_and_held_out()
