"""Prompts in batches: where the mask is, what an epoch holds, what is damaged."""

import shutil

import numpy as np
import pytest

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.indexed import IndexedTokens
from fairseq_metro.data.intermediate_dataset import (
    IntermediateDataset,
    IntermediatePrompts,
    read_intermediate_stamp,
)
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.distillation import make_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("pairs"))


def dataset(data, **changes):
    mask = Vocabulary.load(data / "vocab").index("mask")
    prompts = IntermediatePrompts(data, "train", mask)
    return IntermediateDataset(prompts, **{**dict(pad=1, seed=1, shuffle=True), **changes}), mask


def test_every_batch_points_at_its_masks_and_holds_the_files_ids(data):
    made, mask = dataset(data)
    lines = IndexedTokens(data / "train.prompts")
    ends = np.cumsum(lines.sizes)
    meta = np.load(data / "train.meta.npy")
    seen = []
    for batch in made.batch_by_size(made.ordered_indices(), max_tokens=400):
        sample = made.collater([made[index] for index in batch])
        tokens = sample["net_input"]["src_tokens"]
        assert tokens.numel() <= 400 and tokens.size(1) % 8 == 0
        at = sample["net_input"]["masked_index"]
        assert tokens.flatten()[at].eq(mask).all() and tokens.eq(mask).sum() == len(batch)
        assert (at // tokens.size(1)).tolist() == list(range(len(batch)))
        assert sample["net_input"]["padded"] == bool(tokens.eq(1).any())
        assert sample["label"].tolist() == meta[batch, 0].tolist()
        for row, index in zip(tokens.tolist(), batch, strict=True):
            ids = lines.tokens[ends[index] - lines.sizes[index] : ends[index]].tolist()
            assert row[: len(ids)] == ids and set(row[len(ids) :]) <= {1}
        seen += batch.tolist()
    assert sorted(seen) == list(range(60))


def test_an_epoch_has_its_own_order_and_lengths_stay_together(data):
    made, _ = dataset(data)
    orders = []
    for epoch in (1, 2, 1):
        made.set_epoch(epoch)
        orders.append(made.ordered_indices().tolist())
    assert orders[0] == orders[2] != orders[1]
    assert not dataset(data, shuffle=False)[0].ordered_indices()[0]
    widths = [set(made.widths[b]) for b in made.batch_by_size(np.arange(60), max_sentences=12)]
    assert sum(map(len, widths)) < len(set(made.widths)) + len(widths)


def test_t5s_decoder_has_its_start_and_the_sentinel(data):
    made, _ = dataset(data, decoder_input=[2, 77])
    net_input = made.collater([made[3], made[4]])["net_input"]
    assert net_input["prev_output_tokens"].tolist() == [[2, 77], [2, 77]]
    # What is predicted after both: the second generated token.
    assert net_input["target_index"].tolist() == [1, 3]
    assert net_input["src_lengths"].tolist() == made.prompts.sizes[[3, 4]].tolist()
    assert "masked_index" not in net_input and made.collater([]) == {}
    # Padding has positions in T5, so the longest prompt needs as many as its row has.
    assert made.longest() == made.widths.max() >= dataset(data)[0].longest()


def test_damage_is_one_line(data, tmp_path):
    made, mask = dataset(data)
    with pytest.raises(UserError, match=r"--max-tokens 8: the longest prompt .* give at least"):
        made.batch_by_size(np.arange(60), max_tokens=8)
    with pytest.raises(UserError, match=r"intermediate\.json: no such file"):
        read_intermediate_stamp(tmp_path)
    broken = shutil.copytree(data, tmp_path / "broken")
    meta = np.load(broken / "train.meta.npy")
    meta[5, 5] += 1
    np.save(broken / "train.meta.npy", meta)
    with pytest.raises(UserError, match="no mask where prompt 5"):
        IntermediatePrompts(broken, "train", mask)
    np.save(broken / "train.meta.npy", meta[:7])
    with pytest.raises(UserError, match="7 rows for 60 prompts"):
        IntermediatePrompts(broken, "train", mask)
    (broken / "train.meta.npy").unlink()
    with pytest.raises(UserError, match="missing or damaged"):
        IntermediatePrompts(broken, "train", mask)
    (broken / "intermediate.json").write_text("{}")
    with pytest.raises(UserError, match="not a stamp"):
        read_intermediate_stamp(broken)
