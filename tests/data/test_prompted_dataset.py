"""data/prompted_dataset.py: samples and batches against what was written, by hand."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.mixture_sampling import MixtureSampler
from fairseq_metro.data.prompted_dataset import PromptedDataset
from fairseq_metro.data.prompted_files import open_split
from tests import prompted

BOS, PAD, EOS, START = 0, 1, 2, 3
CHOICES = [([[5, 2], [6, 7, 2]], 1), ([[8, 2]], 0), ([[5, 2], [6, 2], [9, 9, 9, 9, 9, 2]], 2)]


def tasks():
    rng = random.Random(1)
    small = prompted.random_pairs(rng, 3)
    small = [(source, CHOICES[i][0][CHOICES[i][1]]) for i, (source, _) in enumerate(small)]
    return [
        {"name": "capped", "pairs": prompted.random_pairs(rng, 11), "cap": 4},
        {"name": "small", "pairs": small, "choices": CHOICES},
        {"name": "long", "pairs": prompted.random_pairs(rng, 9, (60, 25)), "cap": 50},
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    data, made = tmp_path_factory.mktemp("prompted"), tasks()
    prompted.write_split(data, "train", made)
    return open_split(data, "train"), made


def dataset(split, draw=None, **changes):
    sampler = MixtureSampler([t.rows for t in split.tasks], [t.cap for t in split.tasks], seed=1)
    options = dict(
        name="train", source_prefix=[BOS], pad=PAD, eos=EOS, decoder_start=START, seed=1,
        max_source_length=30, max_target_length=12, shuffle=True,
    )  # fmt: skip
    return PromptedDataset(split, draw or sampler.epoch, **{**options, **changes})


def everything(split):
    """Draws all rows of all tasks, in order."""
    sizes = [task.rows for task in split.tasks]
    task = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    return lambda epoch: (task, np.concatenate([np.arange(size) for size in sizes]))


def cut(tokens, longest):
    """The specification: the first tokens, and </s> as the last one."""
    return tokens if len(tokens) <= longest else [*tokens[: longest - 1], EOS]


def test_a_sample_is_the_line_with_bos_cut_on_the_right(written):
    split, made = written
    data = dataset(split, everything(split))
    pairs = [pair for task in made for pair in task["pairs"]]
    assert len(data) == len(pairs)
    for index, (source, target) in enumerate(pairs):
        sample = data[index]
        assert sample["sources"][0].tolist() == cut([BOS, *source], 30)
        assert sample["targets"][0].tolist() == cut(target, 12)
    longest = max(range(len(pairs)), key=lambda i: len(pairs[i][0]))
    kept = data[longest]["sources"][0].tolist()
    assert len(kept) == 30 < len(pairs[longest][0]) + 1
    assert kept[1:-1] == pairs[longest][0][:28] and kept[-1] == EOS


def test_a_vocabulary_without_bos_has_sources_without(written):
    split, made = written
    data = dataset(split, everything(split), source_prefix=[])
    assert data[0]["sources"][0].tolist() == cut(made[0]["pairs"][0][0], 30)


@pytest.mark.parametrize("pack", [False, True])
def test_a_batch_is_its_samples_right_padded(written, pack):
    split, _ = written
    data = dataset(split, pack=pack)
    samples = [data[i] for i in range(5)]
    batch = data.collater(samples)
    net = batch["net_input"]
    for name in ("src_tokens", "prev_output_tokens"):
        assert net[name].size(1) % 8 == 0
    rows = np.arange(5)[:, None]
    positions = net["target_index"].numpy()
    width = batch["target"].size(1)
    assert (batch["target"].flatten()[positions] != PAD).all()
    assert batch["n_target"] == len(positions) == (batch["target"] != PAD).sum()
    assert batch["ntokens"] == (net["src_tokens"] != PAD).sum() + batch["n_target"]
    assert batch["nsentences"] == sum(len(sample["targets"]) for sample in samples)
    assert batch["size"] == net["src_tokens"].numel() + batch["target"].numel()
    for row, sample in enumerate(samples):
        source, target = np.concatenate(sample["sources"]), np.concatenate(sample["targets"])
        inputs = np.concatenate([[START, *t[:-1]] for t in sample["targets"]])
        found = [net["src_tokens"], batch["target"], net["prev_output_tokens"]]
        for tokens, expected in zip(found, (source, target, inputs), strict=True):
            assert tokens[row, : len(expected)].tolist() == expected.tolist()
            assert (tokens[row, len(expected) :] == PAD).all()
        assert net["src_lengths"][row] == len(source)
        of_row = positions[(positions >= row * width) & (positions < (row + 1) * width)]
        assert (of_row - row * width).tolist() == list(range(len(target)))
        if pack:
            for side, name in (("sources", "source_segments"), ("targets", "target_segments")):
                numbers = [n for n, part in enumerate(sample[side], 1) for _ in part]
                assert net[name][row].tolist() == numbers + [0] * (
                    len(net[name][row]) - len(numbers)
                )
        else:
            assert batch["task"][row] == sample["tasks"][0] and "source_segments" not in net
    assert net["padded"] == bool((net["src_tokens"] == PAD).any())
    assert len(rows) == len(batch["id"])


def test_every_epoch_holds_each_task_up_to_its_cap_and_other_rows_of_the_capped(written):
    split, made = written
    data = dataset(split)
    seen = []
    for epoch in range(1, 12):
        data.set_epoch(epoch)
        assert np.bincount(data.task).tolist() == [4, 3, 9]
        seen += data.row[data.task == 0].tolist()
        assert len(data.ordered_indices()) == len(data) == 16
    assert np.bincount(seen).tolist() == [4] * 11  # 11 epochs of 4 out of 11: each row 4 times
    assert len(set(seen[:11])) == 11  # every row once before any comes again
    sources = {tuple(source) for source, _ in made[0]["pairs"]}
    drawn = {tuple(data.source(i)[1:].tolist()) for i in range(4)}
    assert drawn <= {tuple(cut([BOS, *s], 30)[1:]) for s in sources}


def test_an_epoch_is_a_function_of_seed_and_number_alone(written):
    split, _ = written
    first, second = dataset(split), dataset(split)
    first.set_epoch(5)
    first.set_epoch(2)
    second.set_epoch(2)
    assert first.row.tolist() == second.row.tolist()
    assert first.ordered_indices().tolist() == second.ordered_indices().tolist()
    assert dataset(split, seed=2).ordered_indices().tolist() != dataset(split)._order.tolist()


def test_sizes_follow_the_epoch(written):
    """The batches of an epoch are made from the lengths of its own rows."""
    split, _ = written
    data = dataset(split)
    for epoch in (1, 2, 3):
        data.set_epoch(epoch)
        lengths = [len(data[i]["sources"][0]) for i in range(len(data))]
        assert data.source_sizes.tolist() == lengths
        assert (data.source_widths >= lengths).all() and (data.source_widths % 8 == 0).all()
        for batch in data.batch_by_size(data.ordered_indices(), max_tokens=200):
            assert data.collater([data[i] for i in batch])["size"] <= 200


@given(st.integers(1, 9))
def test_packed_rows_hold_the_epochs_examples_each_once(written, epoch):
    split, _ = written
    plain, packed = dataset(split), dataset(split, pack=True)
    plain.set_epoch(epoch)
    packed.set_epoch(epoch)
    assert len(packed) < len(plain)

    def pairs(data):
        samples = [data[i] for i in range(len(data))]
        return sorted(
            (tuple(s.tolist()), tuple(t.tolist()))
            for sample in samples
            for s, t in zip(sample["sources"], sample["targets"], strict=True)
        )

    assert pairs(plain) == pairs(packed)
    for index in range(len(packed)):
        sample = packed[index]
        assert sum(map(len, sample["sources"])) <= 30 and sum(map(len, sample["targets"])) <= 12


def test_validation_carries_choices_cut_as_targets_are(written):
    split, made = written
    data = dataset(split, everything(split), shuffle=False, choices=True, max_target_length=4)
    batch = data.collater([data[i] for i in range(len(data))])["choices"]
    assert batch.tasks == [1, 1, 1] and batch.gold == [1, 0, 2]
    expected = [[cut(line, 4) for line in lines] for lines, _ in CHOICES]
    assert [[line.tolist() for line in lines] for lines in batch.choices] == expected
    sources = [cut([BOS, *source], 30) for source, _ in made[1]["pairs"]]
    assert [source.tolist() for source in batch.sources] == sources
    training = dataset(split)
    assert "choices" not in training.collater([training[0]])


def test_the_widest_index_of_any_epoch_is_known_beforehand(written):
    split, _ = written
    data = dataset(split)
    widest = 0
    for epoch in range(1, 12):
        data.set_epoch(epoch)
        widest = max(widest, int((data.source_widths + data.target_widths).max()))
    assert data.widest() == widest
    assert dataset(split, pack=True).widest() == 32 + 16


def test_an_empty_line_is_refused(tmp_path):
    prompted.write_split(tmp_path, "train", [{"name": "a", "pairs": [([5, 2], [6, 2]), ([2], [])]}])
    with pytest.raises(UserError, match=r"train\.src-tgt\.tgt: line 1 is empty"):
        dataset(open_split(tmp_path, "train"))
