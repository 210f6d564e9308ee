import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_metro.data.masked_lm_dataset import MaskedLMBlocks
from fairseq_metro.data.masking import masked_count
from tests import tiny

MASK = tiny.dictionary().index("<mask>")
ORDINARY = range(4, 4 + tiny.ORDINARY)


def dataset(mask_prob=0.15, **changes):
    """Masked-LM blocks over the lines of :func:`tests.tiny.dataset`."""
    same = tiny.dataset(**changes)
    shared = "bos pad decoder_start ordinary seed shuffle".split()
    options = {name: getattr(same, name) for name in shared}
    return MaskedLMBlocks(same.tokens, same.blocks, mask=MASK, mask_prob=mask_prob, **options)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 9),
    epoch=st.integers(1, 9),
    mask_prob=st.floats(0.05, 1),
    tokens_per_sample=st.integers(4, 40),
)
def test_a_sample_is_its_block_but_at_chosen_ordinary_tokens(
    seed, epoch, mask_prob, tokens_per_sample
):
    data = dataset(mask_prob, seed=seed, tokens_per_sample=tokens_per_sample)
    data.set_epoch(epoch)
    for index in range(len(data)):
        block, sample = data.block(index), data[index]
        masked = sample["masked"]
        assert np.isin(block[masked], ORDINARY).all()
        assert len(masked) == masked_count(np.isin(block, ORDINARY).sum(), mask_prob)
        assert data.masked_and_ordinary(index) == (len(masked), np.isin(block, ORDINARY).sum())
        assert (np.diff(masked) > 0).all() and (sample["target"] == block[masked]).all()
        elsewhere = np.delete(np.arange(len(block)), masked)
        assert (sample["source"][elsewhere] == block[elsewhere]).all()
        assert np.isin(sample["source"][masked], [MASK, *ORDINARY]).all()


def test_eighty_ten_ten():
    data, counts = dataset(0.5, lines=600), np.zeros(3)
    for index in range(len(data)):
        sample = data[index]
        noised = sample["source"][sample["masked"]]
        kept = noised == sample["target"]
        counts += [(noised == MASK).sum(), kept.sum(), (~kept & (noised != MASK)).sum()]
    assert counts.sum() > 3000
    shares = counts / counts.sum()
    # A random token is the original once in 30 times.
    expected = [0.8, 0.1 + 0.1 / tiny.ORDINARY, 0.1 * (1 - 1 / tiny.ORDINARY)]
    assert shares == pytest.approx(expected, abs=0.025)


def test_a_sample_is_a_function_of_seed_epoch_and_index():
    one, other = dataset(), dataset(seed=2)
    again = dataset()
    assert all((one[i]["source"] == again[i]["source"]).all() for i in (3, 1, 2))
    again.set_epoch(2)
    differ = [(one[i]["source"] != again[i]["source"]).any() for i in range(len(one))]
    assert sum(differ) > len(one) / 2
    assert one.tokens.tolist() != other.tokens.tolist()


def test_a_batch_points_at_its_masks():
    data = dataset(0.3)
    samples = [data[i] for i in range(5)]
    batch = data.collater(samples)
    tokens, index = batch["net_input"]["src_tokens"], batch["net_input"]["masked_index"]
    assert tokens.shape[1] % 8 == 0 and batch["n_masked"] == len(index) == len(batch["target"])
    assert batch["ntokens"] == tokens.ne(1).sum() and batch["nsentences"] == 5
    assert batch["net_input"]["padded"] == bool(tokens.eq(1).any())
    originals = [tokens.flatten()[i] for i in index]
    expected = np.concatenate([s["source"][s["masked"]] for s in samples])
    assert [int(t) for t in originals] == expected.tolist()
    assert batch["target"].tolist() == np.concatenate([s["target"] for s in samples]).tolist()
    assert data.collater([]) == {}
