"""evaluate/ranking.py: the five readings of a choice's score, on scores known by hand."""

import logging
import math
from types import SimpleNamespace

import pytest

from fairseq_metro.evaluate.ranking import Request, predicted, scores_of
from fairseq_metro.inference.predictor import Predictor
from fairseq_metro.models.metro_t5 import T5TransformerModel
from fairseq_metro.scoring import choices as scoring_choices
from tests import tiny
from tests.evaluate.fakes import Fake
from tests.prepare import samples

SUMS = {
    ("question", "yes"): -2.0,
    ("question", "not at all"): -3.0,
    ("Answer:", "yes"): -1.0,
    ("Answer:", "not at all"): -4.0,
    ("N/A", "yes"): math.log(0.3),
    ("N/A", "not at all"): math.log(0.1),
    ("-", "yes"): math.log(0.2),
    ("-", "not at all"): math.log(0.2),
}
CHOICES = ("yes", "not at all")
# Under N/A the shares are 3/4 and 1/4, under - 1/2 each: means 5/8 and 3/8.
EXPECTED = {
    "sum": [-2.0, -3.0],
    "mean": [-2.0 / 2, -3.0 / 4],
    "byte_mean": [-2.0 / 3, -3.0 / 10],
    "contextual": [-2.0 - math.log(5 / 8), -3.0 - math.log(3 / 8)],
    "pmi": [-1.0, 1.0],
}
PRIORS = {"contextual": ("N/A", "-"), "pmi": ("Answer:",)}


@pytest.mark.parametrize("rank_by", EXPECTED)
def test_scores_are_those_by_hand(rank_by):
    fake = Fake(lambda text, choice: SUMS[text, choice])
    requests = [Request("question", CHOICES, PRIORS.get(rank_by, ()))] * 2
    found = scores_of(fake, requests, rank_by)
    assert found == [pytest.approx(EXPECTED[rank_by])] * 2
    assert len(fake.asked) == 1 + len(PRIORS.get(rank_by, ()))  # the same input is asked once


def test_bytes_are_those_of_utf8():
    fake = Fake(lambda text, choice: -6.0)
    found = scores_of(fake, [Request("q", ("où", "日本", "ab"))], "byte_mean")
    assert found == [[-6 / 3, -6 / 6, -6 / 2]]


@pytest.mark.parametrize("rank_by", EXPECTED)
def test_the_size_of_batches_is_handed_on(rank_by, monkeypatch):
    fake, told = Fake(lambda text, choice: SUMS[text, choice]), []
    stock = fake.score_choices

    def score_choices(texts, choices, **options):
        told.append(options)
        return stock(texts, choices, **options)

    monkeypatch.setattr(fake, "score_choices", score_choices)
    request = Request("question", CHOICES, PRIORS.get(rank_by, ()))
    for max_tokens, options in ((90, {"max_tokens": 90}), (None, {})):
        scores_of(fake, [request], rank_by, max_tokens)
        assert told.pop() == options and not told


def test_the_first_of_equal_scores_is_predicted():
    assert predicted([-1.5, -1.0, -1.0]) == 1


def test_ragged_choices_and_their_order():
    fake = Fake(lambda text, choice: float(len(text) - len(choice)))
    requests = [Request("ab", ("x",)), Request("abc", ("x", "yy", "zzz")), Request("a", ("q", "r"))]
    assert scores_of(fake, requests) == [[1.0], [2.0, 1.0, 0.0], [0.0, 0.0]]


def test_no_log_of_an_underflow():
    """Shares under content-free inputs whose probabilities are far below float's least."""
    sums = {("q", "a"): -1.0, ("q", "b"): -2.0, ("N", "a"): -2000.0, ("N", "b"): -2001.0}
    fake = Fake(lambda text, choice: sums[text, choice])
    ((one, other),) = scores_of(fake, [Request("q", ("a", "b"), ("N",))], "contextual")
    share = 1 / (1 + math.exp(-1))
    assert one == pytest.approx(-1 - math.log(share), abs=1e-9)
    assert other == pytest.approx(-2 - math.log(1 - share), abs=1e-9)


def test_choices_that_lower_casing_makes_one_tie_and_the_first_is_predicted(caplog, monkeypatch):
    monkeypatch.setattr(scoring_choices, "_warned", set())
    vocabulary = samples.vocabulary("metro")
    words = vocabulary.dictionary()
    task = SimpleNamespace(source_dictionary=words, target_dictionary=words)
    model = T5TransformerModel.build_model(tiny.config(), task).eval()
    start = vocabulary.index("decoder_start")
    predictor = Predictor(model, task, vocabulary, start, (64, 64))
    requests = [Request("is it the end?", ("The End", "a name", "the end", "A Name"))] * 2
    with caplog.at_level(logging.WARNING):
        (scores, _) = scores_of(predictor, requests)
    assert scores[0] == scores[2] and scores[1] == scores[3] and scores[0] != scores[1]
    assert predicted(scores) == (0 if scores[0] > scores[1] else 1)
    assert "choices 0 and 2 are the same tokens, so the first of them wins" in caplog.text
