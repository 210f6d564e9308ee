"""The same masked tokens asked of METRO-T5 and T5: a hand-made example, both models, odd texts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.data import randomness
from fairseq_metro.papers.shared_spans import (
    PATTERNS,
    Model,
    blocks_of,
    choose,
    score,
    shared_targets,
)
from tests import tiny

SENTINELS = np.array([91, 92, 93])
END = 2


def test_table_1s_sentence_by_hand():
    """<s> Thank you for inviting me to your party last week, masked: for inviting, last."""
    block = np.array([0, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
    masked = np.isin(block, [12, 13, 18])
    one = shared_targets(0, block, masked, SENTINELS, END)
    assert one.source.tolist() == [0, 10, 11, 91, 14, 15, 16, 17, 92, 19]
    assert one.target.tolist() == [91, 12, 13, 92, 18, 2]
    # Scored: tokens 1, 2 and 4 of T5's target and tokens 3, 4 and 9 of METRO-T5's, the same three;
    # not the sentinels, not the end, not the seven tokens that stand in METRO-T5's alone.
    assert one.scored.tolist() == [1, 2, 4] and one.positions.tolist() == [3, 4, 9]
    assert one.target[one.scored].tolist() == block[one.positions].tolist() == [12, 13, 18]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_the_scored_tokens_are_the_masked_ones_in_their_order(flags):
    masked = np.array(flags)
    block = np.arange(100, 100 + len(flags))
    one = shared_targets(0, block, masked, np.arange(20), END)
    assert one.target[one.scored].tolist() == block[masked].tolist()
    others = np.delete(one.target, one.scored)
    assert (others[:-1] < 20).all() and others[-1] == END


@pytest.mark.parametrize("pattern", PATTERNS)
def test_masks_depend_on_seed_and_place_alone_and_spare_special_tokens(pattern):
    ordinary = np.ones(100, bool)
    ordinary[[0, 50]] = False
    masked = choose(pattern, 3, ordinary, 100, 1)
    assert (masked == choose(pattern, 3, ordinary, 100, 1)).all()
    assert (masked != choose(pattern, 3, ordinary, 100, 2)).any()
    assert not masked[~ordinary].any() and 8 <= masked.sum() <= 22
    few = choose(pattern, 3, ordinary, 2, 1)
    assert (np.diff(np.append(0, few)) == 1).sum() == 2  # the last spans are left out


class Vocabulary:
    """As much of a vocabulary as scoring needs."""

    def __init__(self, words):
        self.words, self.hash = words, "v" * 64
        self.sentinel_indices = [words.index("<sen001>"), words.index("<sen002>")]

    def index(self, role):
        return {"mask": self.words.index("<mask>"), "end_of_target": self.words.eos()}[role]


def model_of(built, objective):
    """A :class:`Model` around a tiny network, without a checkpoint."""
    words, found = tiny.dictionary(), Model.__new__(Model)
    ordinary = np.zeros(len(words), bool)
    ordinary[4 : 4 + tiny.ORDINARY] = True

    class Task:
        source_dictionary, pretraining_decoder_start = words, words.index("<mask>")

        def ordinary_tokens(self):
            return ordinary

    found.model, found.objective, found.whole = built, objective, False
    found.task, found.vocabulary, found.pad = Task(), Vocabulary(words), words.pad()
    found.device = torch.device("cpu")
    return found


def blocks(count=5):
    rng = np.random.default_rng(0)
    return [np.append(0, rng.integers(4, 4 + tiny.ORDINARY, 8 + 3 * i)) for i in range(count)]


def test_t5s_score_is_a_plain_loops():
    model = model_of(tiny.t5(), "t5")
    found = score(model, blocks(), "spans")
    words, hits, loss, tokens = tiny.dictionary(), 0, 0.0, 0
    for index, block in enumerate(blocks()):
        masked = choose("spans", index, model.task.ordinary_tokens()[block], 2, 1)
        one = shared_targets(index, block, masked, np.array([35, 36]), words.eos())
        previous = torch.tensor([[words.index("<mask>"), *one.target[:-1]]])
        with torch.inference_mode():
            logits = model.model(torch.tensor(one.source)[None], None, previous)[0][0].double()
        for place in one.scored:
            allowed = logits[place, 4 : 4 + tiny.ORDINARY].log_softmax(-1)
            gold = int(one.target[place]) - 4
            hits, tokens = hits + int(allowed.argmax() == gold), tokens + 1
            loss -= float(allowed[gold])
    assert (found["hits"], found["tokens"]) == (hits, tokens) and tokens > 5
    assert found["loss"] == pytest.approx(loss / tokens, rel=1e-5)
    assert np.sum(found["groups"], axis=0).tolist() == [tokens, hits]


def test_metro_reads_what_its_auxiliary_model_wrote_over_the_same_tokens():
    model = model_of(tiny.model(), "metro_t5")
    found = score(model, blocks(), "iid")
    words, hits, replaced, tokens = tiny.dictionary(), 0, 0, 0
    for index, block in enumerate(blocks()):
        masked = choose("iid", index, model.task.ordinary_tokens()[block], 2, 1)
        positions = np.flatnonzero(masked)
        source = np.where(masked, words.index("<mask>"), block)
        previous = torch.tensor([[words.index("<mask>"), *block[:-1]]])
        uniform = torch.from_numpy(randomness.uniforms(1, 1, index, positions))
        with torch.inference_mode():
            out = model.model(torch.tensor(source)[None], None, previous,
                              masked_index=torch.from_numpy(positions), uniform=uniform)  # fmt: skip
            said = out.clm_logits[:, 4 : 4 + tiny.ORDINARY].argmax(-1).numpy() + 4
        hits, tokens = hits + int((said == block[positions]).sum()), tokens + len(positions)
        replaced += int((out.src_noise[0].numpy()[positions] != block[positions]).sum())
    assert (found["hits"], found["tokens"]) == (hits, tokens) and tokens > 5
    assert found["replaced"] == pytest.approx(replaced / tokens)


def test_both_are_asked_for_the_same_tokens():
    scores = [score(model_of(built, name), blocks(), pattern) for pattern in PATTERNS
              for built, name in ((tiny.t5(), "t5"), (tiny.model(), "metro_t5"))]  # fmt: skip
    for one, two in (scores[:2], scores[2:]):
        assert [group[0] for group in one["groups"]] == [group[0] for group in two["groups"]]
        assert one["commonest"] == two["commonest"]


def test_a_text_without_text_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(UserError, match=r"empty\.txt: no text in it"):
        blocks_of(tmp_path / "empty.txt", None, 0, 2)
    (tmp_path / "odd.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"odd\.txt: line 1, byte 3 is not UTF-8"):
        blocks_of(tmp_path / "odd.txt", None, 0, 2)
