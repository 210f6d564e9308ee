import numpy as np
import pytest
import torch
from fairseq.data import iterators

from fairseq_metro.data import metro_dataset
from tests import tiny

MASK = tiny.dictionary().index("<mask>")


def test_a_batch_equals_its_samples_laid_out_by_hand():
    data = tiny.dataset()
    samples = [data[i] for i in range(4)]
    batch = data.collater(samples)
    net_input = batch["net_input"]
    width = batch["target"].size(1)
    assert width % 8 == 0
    flat_index = []
    for row, sample in enumerate(samples):
        original, n = sample["target"].tolist(), len(sample["target"])
        masked = [MASK if t in sample["masked"] else token for t, token in enumerate(original)]
        padding = [1] * (width - n)
        assert batch["target"][row].tolist() == original + padding
        assert net_input["src_tokens"][row].tolist() == masked + padding
        assert net_input["prev_output_tokens"][row].tolist() == [MASK, *original[:-1], *padding]
        assert net_input["src_lengths"][row] == n
        flat_index += [row * width + t for t in sample["masked"]]
    assert net_input["masked_index"].tolist() == flat_index
    assert batch["n_masked"] == len(flat_index)
    assert batch["ntokens"] == sum(len(s["target"]) for s in samples)
    assert net_input["padded"] is True


def test_a_full_batch_says_that_it_has_no_padding():
    data = tiny.dataset(pad_to_multiple=1)
    assert data.collater([data[0]])["net_input"]["padded"] is False


def test_every_block_begins_with_bos_and_holds_the_files_tokens():
    data = tiny.dataset()
    for i in range(len(data)):
        block = data.block(i)
        start, length = data.blocks.starts[i], data.blocks.lengths[i]
        assert block[0] == 0 and block[1:].tolist() == data.tokens[start : start + length].tolist()
        assert data.sizes[i] == len(block) <= 32


def test_special_tokens_are_never_masked():
    data = tiny.dataset(mask_prob=0.9)
    for i in range(len(data)):
        sample = data[i]
        assert (sample["target"][sample["masked"]] >= 4).all()
        ordinary = int((sample["target"] >= 4).sum())
        assert len(sample["masked"]) == round(0.9 * ordinary)


@pytest.mark.parametrize("options", [{}, {"mask_prob": 0.4}, {"longest": 6}, {"lines": 301}])
def test_the_share_of_masked_tokens_is_counted(options):
    data = tiny.dataset(**options)
    samples = [data[i] for i in range(len(data))]
    masked = sum(len(sample["masked"]) for sample in samples)
    assert data.masked_share == masked / sum(len(sample["target"]) for sample in samples)
    assert data.collater(samples[:2])["masked_share"] == data.masked_share


def test_the_share_of_masked_tokens_in_spans_is_the_mean_over_epochs():
    data = tiny.dataset(lines=400, mask_pattern="span")
    shares = []
    for epoch in range(1, 41):
        data.set_epoch(epoch)
        shares.append(sum(len(data[i]["masked"]) for i in range(len(data))) / data.sizes.sum())
    error = np.std(shares) / len(shares) ** 0.5
    assert abs(np.mean(shares) - data.masked_share) < 3 * error < 0.03 * data.masked_share


def test_of_many_blocks_some_are_counted(monkeypatch):
    exact = tiny.dataset(lines=2000).masked_share
    monkeypatch.setattr(metro_dataset, "COUNTED", 300)
    some = tiny.dataset(lines=2000)
    assert some.masked_share == pytest.approx(exact, rel=0.01) and some.masked_share != exact


def test_a_sample_is_a_function_of_seed_epoch_and_index():
    data, same, other = tiny.dataset(), tiny.dataset(), tiny.dataset(seed=1)
    other.set_epoch(2)
    assert np.array_equal(data[3]["masked"], same[3]["masked"])
    assert np.array_equal(data[3]["uniform"], same[3]["uniform"])
    assert not np.array_equal(data[3]["uniform"], other[3]["uniform"])


def test_samples_are_equal_from_any_number_of_worker_processes():
    def read(workers):
        data = tiny.dataset()
        batches = data.batch_by_size(data.ordered_indices(), max_sentences=2)
        loader = iterators.EpochBatchIterator(
            data, data.collater, batches, num_workers=workers, seed=1
        ).next_epoch_itr(shuffle=True)
        return [batch["net_input"]["uniform"].tolist() for batch in loader]

    assert read(0) == read(1) == read(3)


def test_training_order_changes_every_epoch_and_validation_order_never():
    data, valid = tiny.dataset(lines=60), tiny.dataset(lines=60, shuffle=False)
    first = data.ordered_indices().tolist()
    data.set_epoch(2)
    second = data.ordered_indices().tolist()
    assert sorted(first) == sorted(second) == list(range(len(data))) and first != second
    order = valid.ordered_indices().tolist()
    valid.set_epoch(2)
    assert valid.ordered_indices().tolist() == order
    assert (np.diff(data.sizes[second]) >= 0).all()


def test_nothing_or_everything_masked_is_noticed():
    assert tiny.dataset().some_but_not_all_masked() == (True, True)
    assert tiny.dataset(mask_prob=1.0).some_but_not_all_masked() == (True, False)
    short = tiny.dataset(lines=9, longest=4, tokens_per_sample=4)
    assert short.some_but_not_all_masked() == (False, True)


def test_an_empty_batch_is_an_empty_dict():
    assert tiny.dataset().collater([]) == {}


def test_numbers_a_trainer_casts_to_half_are_not_float32():
    batch = tiny.batch()
    tensors = [*batch.values(), *batch["net_input"].values()]
    assert all(x.dtype != torch.float32 for x in tensors if torch.is_tensor(x))


def test_span_masks_are_contiguous_and_of_the_same_share():
    data = tiny.dataset(lines=400, longest=60, tokens_per_sample=64, mask_pattern="span")
    runs, masked, ordinary = 0, 0, 0
    for i in range(len(data)):
        chosen = data[i]["masked"]
        runs += len(chosen) - int((np.diff(chosen) == 1).sum())
        masked += len(chosen)
        ordinary += int((data[i]["target"] >= 4).sum())
        assert (data[i]["noised"][chosen] == MASK).all()
    assert abs(masked / ordinary - 0.15) < 0.01
    assert masked / runs > 2  # spans of 1 to 5


def test_release_masking_takes_any_token_and_keeps_or_randomises_a_fifth():
    data = tiny.dataset(lines=600, random_tokens=range(4, len(tiny.dictionary())))
    kinds = {"mask": 0, "kept": 0, "random": 0}
    special = tokens = 0
    for i in range(len(data)):
        sample = data[i]
        target, noised, chosen = sample["target"], sample["noised"], sample["masked"]
        untouched = np.ones(len(target), dtype=bool)
        untouched[chosen] = False
        assert np.array_equal(target[untouched], noised[untouched])
        for t in chosen:
            kind = "mask" if noised[t] == MASK else "kept" if noised[t] == target[t] else "random"
            kinds[kind] += 1
            special += target[t] < 4
        tokens += len(target)
    total = sum(kinds.values())
    assert abs(total / tokens - 0.15) < 0.01 and special > 0
    assert abs(kinds["mask"] / total - 0.8) < 0.05
    assert abs(kinds["kept"] / total - 0.1) < 0.04 and abs(kinds["random"] / total - 0.1) < 0.04


def test_a_long_line_is_cropped_anew_every_epoch_or_dropped():
    from fairseq_metro.data.blocks import cut_blocks

    sizes = np.array([5, 40, 6, 1, 3])
    crop = cut_blocks(sizes, 10, "complete_doc", "crop")
    assert crop.starts.tolist() == [0, 5, 45, 52]
    assert crop.lengths.tolist() == [5, 10, 6, 3]
    assert crop.slack.tolist() == [0, 30, 0, 0]
    assert cut_blocks(sizes, 10, "complete_doc", "drop").starts.tolist() == [0, 45, 52]
    data = tiny.dataset()
    data.tokens, data.blocks = np.arange(100, 155), crop
    starts = set()
    for epoch in range(1, 40):
        data.set_epoch(epoch)
        block = data.block(1)
        assert np.array_equal(block[1:], np.arange(block[1], block[1] + 10))
        assert 105 <= block[1] <= 135
        starts.add(int(block[1]))
    assert len(starts) > 10


@pytest.mark.parametrize("multiple", [1, 3, 8])
@pytest.mark.parametrize(
    "limits", [{"max_sentences": 4}, {"max_tokens": 100}, {"max_tokens": 9000}]
)
def test_no_block_is_left_out_of_the_batches(limits, multiple):
    data = tiny.dataset(lines=71, shuffle=False)
    order = data.ordered_indices()
    batches = data.batch_by_size(order, required_batch_size_multiple=multiple, **limits)
    assert np.concatenate(batches).tolist() == order.tolist()
    for batch in batches:
        longest = data.sizes[batch].max()
        assert len(batch) <= limits.get("max_sentences", 9000)
        assert longest * len(batch) <= limits.get("max_tokens", 9000)
