"""prompts/randomness.py: generators by seed, task and row."""

import random
import subprocess
import sys

from fairseq_metro.prompts import row_random
from fairseq_metro.prompts.randomness import drawing, drawing_from


def test_a_row_has_its_own_generator_the_same_in_every_process():
    ask = "from fairseq_metro.prompts import row_random; print(row_random(3, 'täsk', 11).random())"
    command = [sys.executable, "-c", ask]
    said = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    assert {float(one.stdout) for one in said} == {row_random(3, "täsk", 11).random()}
    places = [(1, "a", 1), (2, "a", 1), (1, "b", 1), (1, "a", 11), (11, "a", 1), (1, "a\n1", 1)]
    assert len({row_random(*place).random() for place in places}) == len(places)


def test_choices_among_rows_are_even():
    counts = [0] * 4
    for i in range(4000):
        counts[row_random(1, "task", i).choice(range(4))] += 1
    assert all(abs(count - 1000) < 4 * 27.4 for count in counts)  # four standard deviations


def test_the_generator_in_use_ends_with_its_block():
    rng = random.Random(1)
    with drawing_from(rng):
        assert drawing() is rng
        with drawing_from(None):
            assert drawing() is random
        assert drawing() is rng
    assert drawing() is random
