"""An epoch's samples come once each, whatever processes and batches a run goes on with."""

from collections import Counter
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.data.iterators import EpochBatchIterator, GroupedIterator
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.epoch_batches import BatchList, Resumed
from fairseq_metro.data.intermediate_dataset import IntermediateDataset, IntermediatePrompts
from fairseq_metro.data.mixture_sampling import MixtureSampler
from fairseq_metro.data.prompted_dataset import PromptedDataset
from fairseq_metro.data.prompted_files import open_split
from fairseq_metro.tasks.resuming import epoch_batches
from fairseq_metro.vocabulary.folder import Vocabulary
from tests import distillation, prompted, tiny
from tests.data.test_prompted_dataset import tasks

WIDEST = 64  # tokens of the longest sample of any data set here, padded
TO_THE_END = -1


def blocks(seed=1, **changes):
    data = tiny.dataset(lines=150, seed=3, **changes)
    data.seed = seed
    return data


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory):
    """Name -> a function that makes the data set as a new process would."""
    folder = tmp_path_factory.mktemp("prompted")
    prompted.write_split(folder, "train", tasks())
    pairs = distillation.make_data(tmp_path_factory.mktemp("pairs"))
    mask = Vocabulary.load(pairs / "vocab").index("mask")

    def prompts(rates=None, **options):
        split = open_split(folder, "train")
        rows, caps = ([getattr(t, name) for t in split.tasks] for name in ("rows", "cap"))
        lengths = dict(max_source_length=30, max_target_length=12)
        symbols = dict(source_prefix=[0], pad=1, eos=2, decoder_start=3)
        draw = MixtureSampler(rows, caps, rates, seed=1).epoch
        return PromptedDataset(
            split, draw, name="train", seed=1, shuffle=True, **lengths, **symbols, **options
        )

    return {
        "blocks": blocks,
        "prompts": prompts,
        "packed prompts": lambda: prompts(pack=True),
        "prompts drawn by rate": lambda: prompts(rates=[6.0, 2.0, 9.0]),
        "prompts for distillation": lambda: IntermediateDataset(
            IntermediatePrompts(pairs, "train", mask), pad=1, seed=1, shuffle=True
        ),
    }


class Processes:
    """The iterators of so many processes that go on from one state, and train on what these give."""

    def __init__(
        self, make_data, state=None, *, processes=1, update_freq=1, seed=1, epoch=1, **options
    ):
        options.setdefault("max_sentences", 4 if "max_tokens" not in options else None)
        self.iterators = [
            epoch_batches(
                SimpleNamespace(cfg=SimpleNamespace(update_freq=[update_freq])),
                make_data(),
                epoch=state["epoch"] if state else epoch,
                seed=seed,
                num_shards=processes,
                shard_id=rank,
                **options,
            )
            for rank in range(processes)
        ]
        for iterator in self.iterators:
            if state is not None:
                iterator.load_state_dict(state)
        skip = options.get("skip_remainder_batch", False)
        self.groups = [
            GroupedIterator(iterator.next_epoch_itr(), update_freq, skip)
            for iterator in self.iterators
        ]

    def update(self):
        """The samples of one update: for each process a list of its batches' samples."""
        shares = [next(group) for group in self.groups]
        return [[batch["id"].tolist() if batch else [] for batch in each] for each in shares]

    def go_on(self, updates):
        """So many updates, or those up to the end of the epoch."""
        done = []
        while updates != 0 and self.groups[0].has_next():
            done.append(self.update())
            updates -= 1
        assert len({group.has_next() for group in self.groups}) == 1
        for iterator, group in zip(self.iterators, self.groups, strict=True):
            assert iterator.end_of_epoch() != group.has_next()
        return done

    def state(self):
        """As the first process saves it and another reads it, weights-only."""
        stream = BytesIO()
        torch.save(self.iterators[0].state_dict(), stream)
        stream.seek(0)
        return torch.load(stream, weights_only=True)


def samples(updates):
    return [i for update in updates for share in update for batch in share for i in batch]


def together(update):
    """The samples of an update, whichever process had them."""
    return sorted(samples([update]))


@st.composite
def stretches(draw):
    """Options of a start, and how many updates it makes."""
    options = {"processes": draw(st.integers(1, 4)), "update_freq": draw(st.integers(1, 3))}
    if draw(st.booleans()):
        options["max_tokens"] = draw(st.integers(WIDEST, 4 * WIDEST))
    if "max_tokens" not in options or draw(st.booleans()):
        options["max_sentences"] = draw(st.integers(1, 7))
    options["required_batch_size_multiple"] = draw(st.sampled_from([1, 1, 2, 8]))
    options["grouped_shuffling"] = draw(st.booleans())
    options["seed"] = draw(st.integers(1, 2))
    return options, draw(st.integers(1, 4))


@pytest.mark.parametrize(
    "name",
    ["blocks", "prompts", "packed prompts", "prompts drawn by rate", "prompts for distillation"],
)
@settings(max_examples=25)
@given(starts=st.lists(stretches(), min_size=1, max_size=5))
def test_every_sample_of_an_epoch_comes_once_however_often_its_batches_change(
    name, data_sets, starts
):
    state, ids, epoch = None, [], 2
    for number, (options, updates) in enumerate(starts):
        make = data_sets[name]
        if name == "blocks":  # another seed gives other masks of the same blocks
            make = lambda seed=options["seed"]: blocks(seed)  # noqa: E731
        run = Processes(make, state, epoch=epoch, **options)
        ids += samples(run.go_on(TO_THE_END if number == len(starts) - 1 else updates))
        state = run.state()
        if state["epoch"] > epoch:
            break
    whole = data_sets[name]()
    whole.set_epoch(epoch)
    assert Counter(ids) == Counter(whole.ordered_indices().tolist())
    assert state["epoch"] == epoch + 1 and state["iterations_in_epoch"] == 0


def test_one_two_three_and_one_process_share_an_epochs_blocks():
    state, ids = None, []
    for processes, updates in ((1, 3), (2, 2), (3, 1), (1, TO_THE_END)):
        run = Processes(blocks, state, processes=processes)
        ids += samples(run.go_on(updates))
        state = run.state()
    assert sorted(ids) == list(range(len(blocks())))


def test_a_state_says_how_many_samples_are_done_and_which():
    run = Processes(blocks, processes=2, max_sentences=3, required_batch_size_multiple=1)
    ids = samples(run.go_on(2))
    kept = run.state()["samples"]
    bits = np.unpackbits(kept["bits"].numpy(), count=len(blocks()))
    assert np.flatnonzero(bits).tolist() == sorted(ids)
    assert (kept["done"], kept["total"], kept["batches"]) == (len(ids), len(blocks()), 4)


@pytest.mark.parametrize("stop", [1, 3])
def test_the_same_update_from_other_numbers_of_processes_is_the_same(stop):
    """2 processes with 3 batches each take what 1 process takes with 6, and 6 with 1."""
    whole = [
        together(u) for u in Processes(blocks, update_freq=6, max_sentences=2).go_on(TO_THE_END)
    ]
    for processes, update_freq in ((2, 3), (3, 2), (6, 1)):
        first = Processes(blocks, update_freq=6, max_sentences=2)
        updates = [together(update) for update in first.go_on(stop)]
        second = Processes(
            blocks, first.state(), processes=processes, update_freq=update_freq, max_sentences=2
        )
        assert updates + [together(u) for u in second.go_on(TO_THE_END)] == whole


@settings(max_examples=25)
@given(starts=st.lists(stretches(), min_size=2, max_size=3), stop=st.integers(1, 3))
def test_a_run_that_goes_on_as_it_was_is_not_changed_by_having_stopped(starts, stop):
    """Not in a whole epoch, nor in the rest of one of which other batches were made before."""
    state = None
    for options, updates in starts[:-1]:
        run = Processes(blocks, state, **options)
        run.go_on(updates)
        if run.iterators[0].end_of_epoch():
            return
        state = run.state()
    options = starts[-1][0]
    undisturbed = Processes(blocks, state, **options).go_on(TO_THE_END)
    first = Processes(blocks, state, **options)
    updates = first.go_on(stop)
    if len(updates) == len(undisturbed):
        return
    second = Processes(blocks, first.state(), **options)
    assert second.groups[0].n == first.groups[0].n and len(second.groups[0]) == len(first.groups[0])
    assert updates + second.go_on(TO_THE_END) == undisturbed


@pytest.mark.parametrize("processes, grouped", [(1, False), (3, False), (3, True)])
def test_batches_and_their_order_are_fairseqs(processes, grouped):
    """Against fairseq's own iterator; with --grouped-shuffling it leaves the last ones out."""
    data = blocks()
    data.set_epoch(4)
    batches = data.batch_by_size(data.ordered_indices(), max_sentences=2)
    ours = Processes(
        blocks, epoch=4, processes=processes, max_sentences=2, grouped_shuffling=grouped, seed=5
    )
    for rank in range(processes):
        stock = EpochBatchIterator(
            data, data.collater, batches, 5, processes, rank, epoch=4, grouped_shuffling=grouped
        )
        expected = [list(batch) for batch in stock.ordered_batches(4, False, True)]
        share = [list(batch) for batch in ours.iterators[rank].ordered_batches(4, False, True)]
        assert share[: len(expected)] == expected
        assert len(share) - len(expected) == (grouped and len(batches) % processes > 0)


def test_an_epoch_that_was_resumed_is_followed_by_a_whole_one():
    """Of a data set whose iterator serves all epochs, as one that is not shuffled has it."""
    first = Processes(blocks, max_sentences=2)
    first.go_on(3)
    second = Processes(blocks, first.state(), max_sentences=3)
    second.go_on(TO_THE_END)
    (iterator,) = second.iterators
    following = [i for batch in iterator.next_epoch_itr() for i in batch["id"].tolist()]
    assert iterator.epoch == 2 and sorted(following) == list(range(len(blocks())))


# What the log counts


@pytest.mark.parametrize("processes, update_freq, batch_size", [(2, 1, 4), (1, 4, 1), (3, 2, 5)])
def test_the_log_goes_on_at_the_share_of_the_epoch_that_is_done(processes, update_freq, batch_size):
    make = lambda: tiny.dataset(lines=900, seed=3)  # noqa: E731
    first = Processes(make, max_sentences=4, update_freq=2)
    first.go_on(9)
    state = first.state()
    done = state["samples"]["done"] / state["samples"]["total"]
    second = Processes(
        make, state, processes=processes, update_freq=update_freq, max_sentences=batch_size
    )
    (group, *_) = second.groups
    assert 0.05 < done < 0.5
    assert group.n / len(group) == pytest.approx(done, abs=1.5 / len(group))
    assert len(group) == pytest.approx(len(make()) / (processes * update_freq * batch_size), abs=2)
    assert len(second.go_on(TO_THE_END)) == len(group) - round(done * len(group))


# The last update of an epoch


@pytest.mark.parametrize("processes, update_freq", [(2, 2), (3, 4), (4, 3)])
def test_no_process_ends_an_update_with_an_empty_batch_after_full_ones(processes, update_freq):
    """fairseq's trainer would discard the sample size of the full ones."""
    for lines in range(40, 60):
        make = lambda lines=lines: tiny.dataset(lines=lines, seed=3)  # noqa: E731
        run = Processes(make, processes=processes, update_freq=update_freq, max_sentences=2)
        *_, last = run.go_on(TO_THE_END)
        for share in last:
            assert share[-1] or not any(share)


def test_skipping_the_remainder_goes_on_and_says_where_nothing_would_be_left():
    options = dict(max_sentences=2, skip_remainder_batch=True)
    first = Processes(blocks, update_freq=2, **options)
    ids = samples(first.go_on(3))
    state = first.state()
    ids += samples(Processes(blocks, state, update_freq=3, **options).go_on(TO_THE_END))
    assert len(ids) == len(set(ids)) and len(blocks()) - len(ids) < 2 * 2 * 3
    with pytest.raises(UserError, match="--skip-remainder-batch: what is left of epoch 1"):
        Processes(blocks, state, update_freq=500, **options)


# States of earlier versions, and other samples


def older(state):
    return {name: value for name, value in state.items() if name != "samples"}


def resumed(**changes):
    batching = dict(max_tokens=None, max_sentences=4, required_batch_size_multiple=1)
    facts = dict(path="checkpoint_last.pt", changes="", batching=batching, seed=1, num_shards=2)
    return Resumed(**{**facts, **changes})


@pytest.mark.parametrize(
    "options",
    [
        dict(processes=2, max_sentences=4),
        dict(processes=1, max_sentences=4),
        dict(processes=3, max_sentences=3, update_freq=2),
        dict(processes=1, max_tokens=200, seed=2),
    ],
)
def test_a_state_of_an_earlier_version_goes_on_too(options):
    first = Processes(blocks, processes=2)
    ids = samples(first.go_on(3))
    second = Processes(blocks, older(first.state()), resumed=resumed(), **options)
    ids += samples(second.go_on(TO_THE_END))
    assert sorted(ids) == list(range(len(blocks())))


def test_a_state_of_an_earlier_version_goes_on_as_it_was():
    undisturbed = Processes(blocks, processes=2).go_on(TO_THE_END)
    for told in (resumed(), None):
        first = Processes(blocks, processes=2)
        updates = first.go_on(3)
        second = Processes(blocks, older(first.state()), processes=2, resumed=told)
        assert updates + second.go_on(TO_THE_END) == undisturbed


def test_an_earlier_versions_state_of_other_samples_is_refused():
    first = Processes(blocks, processes=2)
    first.go_on(3)
    told = resumed(changes="--tokens-per-sample 16 (was 32)")
    with pytest.raises(UserError, match=r"--tokens-per-sample 16 \(was 32\)"):
        Processes(blocks, older(first.state()), resumed=told)


@pytest.mark.parametrize(
    "other",
    [
        lambda: blocks(tokens_per_sample=16),
        lambda: tiny.dataset(lines=151, seed=3),
        lambda: tiny.dataset(lines=150, seed=4),
    ],
)
def test_other_samples_are_refused_within_an_epoch_alone(other):
    first = Processes(blocks)
    first.go_on(2)
    with pytest.raises(UserError, match="other samples now: the data are others") as caught:
        Processes(other, first.state())
    assert "--reset-dataloader" in str(caught.value) and "\n" not in str(caught.value)
    first.go_on(TO_THE_END)
    ids = samples(Processes(other, first.state()).go_on(TO_THE_END))
    assert sorted(ids) == list(range(len(other())))


def test_other_tokens_in_blocks_of_the_same_lengths_are_other_samples():
    first = Processes(blocks)
    first.go_on(2)

    def other():
        data = blocks()
        data.tokens = np.where(data.tokens == 2, 2, data.tokens ^ 1)
        return data

    with pytest.raises(UserError, match="other samples"):
        Processes(other, first.state())


def test_another_seed_redraws_a_mixture_so_its_epoch_is_not_gone_on_with(data_sets):
    first = Processes(data_sets["prompts drawn by rate"])
    first.go_on(2)

    def reseeded():
        data = data_sets["prompts drawn by rate"]()
        sizes = [task.rows for task in data.split.tasks]
        data.draw = MixtureSampler(sizes, sizes, [6.0, 2.0, 9.0], seed=2).epoch
        data.epoch = None
        return data

    with pytest.raises(UserError, match=r"--seed 2 \(was 1\)"):
        Processes(reseeded, first.state(), resumed=resumed(changes="--seed 2 (was 1)"))


def test_shuffling_keeps_every_batch_and_groups_stay_together():
    batches = [np.array([i, i]) for i in range(11)]
    for group in (1, 3):
        order = [int(b[0]) for b in BatchList(batches, seed=4, group=group).batches]
        assert sorted(order) == list(range(11)) and order != sorted(order)
        assert all(order[i] % group == 0 for i in range(0, 9, group))
    assert order[-2:] == [9, 10]
