"""data/packing.py: every example in one row, rows within their room, and nearly full."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.data import packing
from fairseq_metro.data.packing import pack

LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 12)), max_size=80)


@given(LENGTHS, st.integers(1, 9))
def test_each_example_is_in_one_row_and_fits(lengths, window):
    source, target = np.array([*lengths, (1, 1)]).T
    order = np.random.default_rng(0).permutation(len(source))
    before, packing.WINDOW = packing.WINDOW, window
    try:
        members, starts = pack(source, target, order, 30, 12)
    finally:
        packing.WINDOW = before
    assert sorted(members.tolist()) == list(range(len(source)))
    assert starts[0] == 0 and starts[-1] == len(members) and (np.diff(starts) > 0).all()
    for row in np.split(members, starts[1:-1]):
        assert source[row].sum() <= 30 and target[row].sum() <= 12


def test_rows_are_nearly_full():
    rng = np.random.default_rng(3)
    source = np.minimum(512, rng.lognormal(4.6, 0.9, 6000).astype(int) + 3)
    target = rng.integers(2, 9, 6000)
    members, starts = pack(source, target, rng.permutation(6000), 512, 256)
    assert len(members) == 6000
    assert source.sum() / (512 * (len(starts) - 1)) > 0.97
