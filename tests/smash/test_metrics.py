import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.smash.metrics import score

sklearn_metrics = pytest.importorskip("sklearn.metrics")
REFERENCE = {
    "accuracy": sklearn_metrics.accuracy_score,
    "f1": lambda gold, predicted: sklearn_metrics.f1_score(
        gold, predicted, pos_label=1, average="binary", zero_division=0
    ),
    "matthews": sklearn_metrics.matthews_corrcoef,
}


def pairs(classes):
    label = st.integers(0, classes - 1)
    return st.lists(st.tuples(label, label), min_size=1, max_size=30)


@pytest.mark.filterwarnings("ignore:A single label")
@pytest.mark.parametrize(("metric", "classes"), [("accuracy", 5), ("f1", 2), ("matthews", 2)])
@given(st.data())
def test_scores_are_scikit_learns(metric, classes, data):
    predicted, gold = zip(*data.draw(pairs(classes)), strict=True)
    assert score(metric, predicted, gold) == pytest.approx(REFERENCE[metric](gold, predicted))


@pytest.mark.filterwarnings("ignore:A single label")
@given(pairs(4))
def test_matthews_of_many_classes(rows):
    predicted, gold = zip(*rows, strict=True)
    expected = sklearn_metrics.matthews_corrcoef(gold, predicted)
    assert score("matthews", predicted, gold) == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=2, max_size=30))
def test_pearson(rows):
    predicted, gold = np.array(rows).T
    if min(predicted.std(), gold.std()) > 1e-3:
        expected = np.corrcoef(predicted, gold)[0, 1]
        assert score("pearson", predicted, gold) == pytest.approx(expected, abs=1e-6)


def test_f1_counts_class_one_and_no_other():
    assert score("f1", [1, 0, 0, 0], [1, 1, 0, 0]) == pytest.approx(2 / 3)
    assert score("f1", [0, 1, 1, 1], [0, 0, 1, 1]) == pytest.approx(0.8)


def test_a_constant_has_no_correlation():
    assert score("pearson", [1.0, 1.0], [0.0, 5.0]) == 0.0
    assert score("matthews", [1, 1], [0, 1]) == 0.0
    assert score("f1", [0, 0], [0, 0]) == 0.0


def test_wrong_input_is_one_line():
    with pytest.raises(UserError, match=r"no metric 'acuracy' .*nearest: accuracy"):
        score("acuracy", [1], [1])
    with pytest.raises(UserError, match="1 predictions for 2 examples"):
        score("f1", [1], [1, 0])
    with pytest.raises(UserError, match="0 predictions"):
        score("f1", [], [])
