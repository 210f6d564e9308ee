import numpy as np
import pytest
import torch
from fairseq.data import iterators

from tests import tiny

START = tiny.dictionary().index("<mask>")
END = tiny.dictionary().eos()
MANY = range(100, 130)


def restored(source, target, sentinels=MANY):
    """Target tokens back in the places of the source's sentinels."""
    block, rest = [], list(target)
    assert rest.pop() == END
    for token in source:
        if token not in sentinels:
            block.append(token)
            continue
        assert rest.pop(0) == token
        while rest and rest[0] not in sentinels:
            block.append(rest.pop(0))
    assert rest == []
    return block


def test_a_sample_holds_its_whole_block():
    data, spans = tiny.t5_dataset(sentinels=MANY), 0
    for i in range(len(data)):
        sample = data[i]
        block = data.block(i).tolist()
        assert restored(sample["source"].tolist(), sample["target"].tolist()) == block
        assert sample["size"] == len(block)
        spans += sum(token in MANY for token in sample["source"])
    assert spans > len(data) / 2


def test_special_tokens_are_never_masked():
    data = tiny.t5_dataset(sentinels=MANY, mask_prob=0.9, longest_span=5)
    for i in range(len(data)):
        sample = data[i]
        kept = [token for token in sample["source"].tolist() if token < 4]
        assert kept == [token for token in data.block(i).tolist() if token < 4]
        assert (sample["target"][:-1] >= 4).all()


@pytest.mark.parametrize("decoding_target", ["spans", "all"])
def test_a_batch_equals_its_samples_laid_out_by_hand(decoding_target):
    data = tiny.t5_dataset(sentinels=MANY, decoding_target=decoding_target)
    samples = [data[i] for i in range(4)]
    batch = data.collater(samples)
    net_input, target = batch["net_input"], batch["target"]
    source_width, width = net_input["src_tokens"].size(1), target.size(1)
    assert source_width % 8 == width % 8 == 0
    index = []
    for row, sample in enumerate(samples):
        source, tokens = sample["source"].tolist(), sample["target"].tolist()
        padding = [1] * (width - len(tokens))
        assert target[row].tolist() == tokens + padding
        assert net_input["prev_output_tokens"][row].tolist() == [START, *tokens[:-1], *padding]
        assert net_input["src_tokens"][row].tolist() == source + [1] * (source_width - len(source))
        assert net_input["src_lengths"][row] == len(source)
        index += [row * width + t for t in range(len(tokens))]
    assert net_input["target_index"].tolist() == index
    assert batch["n_target"] == len(index)
    assert net_input["padded"] is True


def test_the_target_of_all_tokens_is_the_whole_original_as_in_metro_pretraining():
    ours, metro = tiny.t5_dataset(decoding_target="all"), tiny.dataset()
    spans = tiny.t5_dataset()
    batch, other = (data.collater([data[i] for i in range(5)]) for data in (ours, metro))
    assert torch.equal(batch["target"], other["target"])
    for name in ("prev_output_tokens", "padded"):
        assert np.array_equal(batch["net_input"][name], other["net_input"][name])
    for i in range(5):
        assert np.array_equal(ours[i]["source"], spans[i]["source"])


def test_batches_and_their_tokens_are_those_of_metro_pretraining():
    ours, metro = tiny.t5_dataset(), tiny.dataset()
    for data in (ours, metro):
        data.set_epoch(3)
    batches = [data.batch_by_size(data.ordered_indices(), max_tokens=60) for data in (ours, metro)]
    assert all(map(np.array_equal, *batches)) and len(batches[0]) == len(batches[1]) > 3
    for indices in batches[0]:
        a, b = (data.collater([data[i] for i in indices]) for data in (ours, metro))
        assert a["ntokens"] == b["ntokens"] and a["id"].tolist() == b["id"].tolist()


def test_a_full_batch_says_that_it_has_no_padding():
    data = tiny.t5_dataset(pad_to_multiple=1)
    assert data.collater([data[0]])["net_input"]["padded"] is False


def test_a_sample_is_a_function_of_seed_epoch_and_index():
    data, same, epoch, seed = (tiny.t5_dataset(sentinels=MANY) for _ in range(4))
    epoch.set_epoch(2)
    seed.seed = 2
    sources = [[d[i]["source"].tolist() for i in range(6)] for d in (data, same, epoch, seed)]
    assert sources[0] == sources[1]
    assert sources[0] != sources[2] and sources[0] != sources[3]


def test_samples_are_equal_from_any_number_of_worker_processes():
    def read(workers):
        data = tiny.t5_dataset()
        batches = data.batch_by_size(data.ordered_indices(), max_sentences=2)
        loader = iterators.EpochBatchIterator(
            data, data.collater, batches, num_workers=workers, seed=1
        ).next_epoch_itr(shuffle=True)
        return [batch["net_input"]["src_tokens"].tolist() for batch in loader]

    assert read(0) == read(2)


def test_no_source_is_longer_than_the_longest_block():
    data = tiny.t5_dataset(sentinels=MANY, empty_prob=0.9, longest_span=1)
    assert max(len(data[i]["source"]) for i in range(len(data))) <= 32


def test_nothing_or_everything_masked_is_noticed():
    assert tiny.t5_dataset().some_but_not_all_masked() == (True, True)
    everything = tiny.t5_dataset(sentinels=MANY, mask_prob=1.0, empty_prob=0.0, longest_span=1)
    assert everything.some_but_not_all_masked() == (True, False)
    assert tiny.t5_dataset(mask_prob=1e-9).some_but_not_all_masked() == (False, True)


def test_an_empty_batch_is_an_empty_dict():
    assert tiny.t5_dataset().collater([]) == {}


def test_numbers_a_trainer_casts_to_half_are_not_float32():
    data = tiny.t5_dataset()
    batch = data.collater([data[0]])
    tensors = [*batch.values(), *batch["net_input"].values()]
    assert all(x.dtype != torch.float32 for x in tensors if torch.is_tensor(x))
