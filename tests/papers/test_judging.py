"""Intervals, outcomes and verdicts against independent references and made-up rows."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.papers import pair as reproduction_pair
from fairseq_metro.papers.checks import CHECKS, run_check
from fairseq_metro.papers.judging import KINDS, judge, sentence, value
from fairseq_metro.papers.outcomes import commonest, informative, primary, verdict
from fairseq_metro.papers.paired import (
    bootstrap_difference,
    paired,
    t_interval,
    t_probability,
    t_quantile,
)
from fairseq_metro.papers.targets import find_target, target_names
from tests.training import ROOT

SETS = {"glue/sst2": 0.5, "subj": 0.5, "trec": 0.25, "glue/cola": 0.7, "super_glue/rte": 0.5,
        "super_glue/cb": 0.5}  # fmt: skip


def row(model, seed, after, mcc=0.0, **more):
    """A row of fine-tuning whose every set has ``after``."""
    sets = [{"dataset": name, "after": after, "before": 0.4, "chance": guess, "commonest": guess}
            for name, guess in SETS.items()]  # fmt: skip
    return {"model": model, "seed": seed, "sets": sets, "cola_mcc": {"a": mcc, "b": mcc}, **more}


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 10])
def test_students_t_is_its_densitys_integral(df):
    x = torch.linspace(0, 3, 200_001, dtype=torch.float64)
    density = torch.distributions.StudentT(float(df)).log_prob(x).exp()
    assert t_probability(3, df) == pytest.approx(2 * float(torch.trapezoid(density, x)), abs=1e-6)
    assert t_probability(t_quantile(df), df) == pytest.approx(0.95)


def test_an_interval_by_hand():
    found = t_interval([1.0, 2.0, 3.0])  # mean 2, standard error 1 / sqrt(3), t 4.3027
    assert found.low == pytest.approx(2 - 4.30265 / math.sqrt(3), abs=1e-4)
    assert (found.mean, found.n, found.sign) == (2.0, 3, 0)
    assert t_interval([5.0]).low is None and t_interval([5.0]).sign == 0


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_an_interval_turns_with_its_values(values):
    one, two = t_interval(values), t_interval([-value for value in values])
    assert one.low == pytest.approx(-two.high) and one.low <= one.mean <= one.high


def test_the_bootstrap_has_the_normal_width():
    rng = np.random.default_rng(3)
    tokens, gaps = np.full(400, 100), rng.normal(3, 2, 400)
    first = np.stack([tokens, 50 + gaps], 1)
    found = bootstrap_difference(first, np.stack([tokens, np.full(400, 50)], 1))
    half = 1.96 * gaps.std() / math.sqrt(400) / 100
    assert found.mean == pytest.approx(gaps.mean() / 100)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.05)
    with pytest.raises(ValueError, match="not of the same tokens"):
        bootstrap_difference(first, first[:-1])


def test_pairs_are_of_the_same_seed():
    assert paired({1: 1.0, 2: 2.0, 3: 3.0}, {3: 1.0, 1: 1.0}) == [0.0, 2.0]


def test_the_primary_outcome_by_hand():
    one = row("t5", 1, 0.6, mcc=0.2)
    assert primary(one) == pytest.approx((0.6 + 0.6 + 0.6 + 0.2) / 4)
    assert commonest(one) == pytest.approx((0.5 + 0.5 + 0.25 + 0) / 4)
    with pytest.raises(UserError, match="t5:1: no score on trec"):
        primary({**one, "sets": [entry for entry in one["sets"] if entry["dataset"] != "trec"]})


def test_t5_at_chance_says_nothing():
    assert informative([row("t5", seed, 0.8 + seed / 100) for seed in (1, 2, 3)])[1]
    assert not informative([row("t5", 1, 0.8)])[1]  # one seed is never clear
    at_chance = [row("t5", seed, after) for seed, after in ((1, 0.41), (2, 0.42), (3, 0.43))]
    assert not informative(at_chance)[1]
    claim = find_target("metro_table2").claims("cpu")[0]
    rows = [{"kind": "finetune", "variant": one["model"], "seed": one["seed"], "result": one}
            for one in (*at_chance, *(row("metro", seed, 0.9) for seed in (1, 2, 3)))]  # fmt: skip
    assert judge(claim, rows).verdict == "uninformative"


@pytest.mark.parametrize(
    "gaps, words",
    [
        ((0.1, 0.11, 0.12), "METRO-T5 is ahead"),
        ((-0.1, -0.11, -0.12), "METRO-T5 is behind"),
        ((0.2, -0.2, 0.0), "no difference shown"),
        ((-0.1, -0.11), r"behind, .* \(2 of at least 3\)"),
        ((), "not measured yet"),
    ],
)
def test_a_verdict_says_what_the_interval_says(gaps, words):
    t5 = dict.fromkeys(range(len(gaps)), 0.5)
    metro = {seed: 0.5 + gap for seed, gap in enumerate(gaps)}
    import re

    assert re.search(words, verdict(metro, t5, "accuracy"))


def rows_of(first, second, outcome):
    result = {
        "held_out": lambda v: row("x", 1, v),
        "clm_loss": lambda v: {"valid": {"clm_loss": v}},
    }
    return [{"kind": KINDS[outcome], "variant": variant, "seed": seed, "result": result[outcome](v)}
            for variant, values in (("a", first), ("b", second))
            for seed, v in enumerate(values, 1)]  # fmt: skip


@pytest.mark.parametrize(
    "first, second, said",
    [
        ((0.7, 0.8, 0.75), (0.5, 0.6, 0.56), "**shown**, +19.7"),
        ((0.5, 0.6, 0.56), (0.7, 0.8, 0.75), "**the opposite**, -19.7"),
        ((0.65, 0.6, 0.66), (0.6, 0.65, 0.66), "**not shown**"),
        ((0.7,), (0.6,), "**one seed, for it**, +10.0"),
        ((0.6,), (0.7,), "**one seed, against it**, -10.0"),
        ((0.4,), (), "**not measured**"),
    ],
)
def test_a_claim_is_judged_by_paired_seeds(first, second, said):
    claim = {"text": "A above B", "outcome": "held_out",
             "first": {"variant": "a"}, "second": {"variant": "b"}}  # fmt: skip
    assert said in sentence(judge(claim, rows_of(first, second, "held_out")))


def test_two_groups_at_the_commonest_answer_say_nothing():
    claim = {"text": "A above B", "outcome": "held_out",
             "first": {"variant": "a"}, "second": {"variant": "b"}}  # fmt: skip
    rows = rows_of((0.48, 0.49, 0.47), (0.38, 0.39, 0.37), "held_out")  # the commonest: 0.5
    assert judge(claim, rows).verdict == "uninformative"
    ahead = rows_of((0.58, 0.59, 0.57), (0.38, 0.39, 0.37), "held_out")
    assert judge(claim, ahead).verdict == "shown"
    assert judge({**claim, "informative": True}, ahead).verdict == "uninformative"


def test_a_loss_is_told_in_nats():
    claim = {"text": "A above B", "outcome": "clm_loss",
             "first": {"variant": "a"}, "second": {"variant": "b"}}  # fmt: skip
    assert "+0.500 (1 seed of at least 3" in sentence(
        judge(claim, rows_of((5.5,), (5.0,), "clm_loss"))
    )


def test_outcomes_of_sets_never_trained_on():
    one = {"result": row("t5", 1, 0.6)}
    assert value("held_out", one) == pytest.approx(0.6)
    assert value("gain", one) == pytest.approx(0.2)


def test_every_claim_names_an_outcome_that_is_known_and_runs_that_are_run():
    from fairseq_metro.papers import reproduction

    for name in target_names():
        target = find_target(name)
        for scale in {"cpu", "paper"} & {*target.scales}:
            steps = reproduction.steps_of(target, scale)
            for claim in target.claims(scale):
                assert claim["outcome"] in KINDS
                for side in ("first", "second"):
                    fields = claim[side].items()
                    found = any(all(s.fields.get(k) == v for k, v in fields) for s in steps)
                    assert found, (name, scale, side)


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "examples"])
def test_our_numbers_are_the_papers(name):
    lines = run_check(name, ROOT)
    wrong = [line for line in lines if line[1] != line[2]]
    assert lines and wrong == ([("basepp", "250M", "256M")] if name == "parameters" else [])


def test_published_rows_have_as_many_numbers_as_columns():
    for name in target_names():
        columns, rows = find_target(name).published()
        assert all(len(values) == len(columns) for values in rows.values()), name


# The pair's report


def pair_rows(path, metro, t5):
    import json

    about = {"mixture": "real-sentences", "updates": 3000}
    rows = [row(model, seed, after, **about) for model, values in (("metro", metro), ("t5", t5))
            for seed, after in enumerate(values, 1)]  # fmt: skip
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))


def test_the_pairs_report(tmp_path, capsys):
    pair_rows(tmp_path / "rows.jsonl", (0.6, 0.61), (0.8, 0.82))
    words = ["--rows", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "report.md")]
    assert reproduction_pair.main(words) == 0
    text = (tmp_path / "report.md").read_text()
    assert "Preliminary: 2 of at least 3 seeds." in text and "METRO-T5 is behind, -15.4" in text
    assert "does **not show** here" in text and "runs are not there yet" in text
    assert (tmp_path / "report.png").stat().st_size > 5000
    with (tmp_path / "report.jsonl").open("w") as stream:
        for row in map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines()):
            if row["model"] == "metro":
                step = {"kind": "finetune", "variant": "metro-equal-compute"}
                row["model"] = step["variant"]
                stream.write(json.dumps({**step, "result": row}) + "\n")
    assert reproduction_pair.main(words) == 0
    text = (tmp_path / "report.md").read_text()
    assert "At equal compute" in text and "| metro-equal-compute | 2 |" in text


def test_an_uninformative_scale_is_called_so(tmp_path):
    pair_rows(tmp_path / "rows.jsonl", (0.6, 0.61, 0.62), (0.41, 0.42, 0.43))
    reproduction_pair.main(
        ["--rows", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "report.md")]
    )
    text = (tmp_path / "report.md").read_text()
    assert "the scale is uninformative" in text and "METRO-T5 is ahead" not in text


@pytest.mark.parametrize(
    "words, message",
    [
        (["--models", "gpt=x"], "gpt is neither metro nor t5"),
        (["--models", "metro=x"], "--models needs --text"),
        ([], "no row of metro or t5"),
    ],
)
def test_mistakes_of_the_pairs_command(words, message, tmp_path):
    paths = ["--rows", str(tmp_path / "no.jsonl"), "--out", str(tmp_path / "report.md")]
    with pytest.raises(UserError, match=message):
        reproduction_pair.main([*words, *paths])
