"""data/inference_dataset.py: prefix in front, cut on the right."""

import torch

from fairseq_metro.data.inference_dataset import SourceDataset
from tests import tiny

SOURCES = [torch.tensor([5, 6, 7, 2]), torch.tensor([8, 2])]


def test_sources_get_the_vocabularys_prefix():
    batch = SourceDataset(SOURCES, tiny.dictionary(), [0]).collater(
        [SourceDataset(SOURCES, tiny.dictionary(), [0])[i] for i in (0, 1)]
    )
    assert batch["net_input"]["src_tokens"].tolist() == [[0, 5, 6, 7, 2], [0, 8, 2, 1, 1]]
    assert batch["net_input"]["src_lengths"].tolist() == [5, 3]
    assert SourceDataset(SOURCES, tiny.dictionary(), [])[1]["source"].tolist() == [8, 2]


def test_long_sources_keep_their_beginning_and_their_end():
    data = SourceDataset(SOURCES, tiny.dictionary(), [0], longest=4)
    assert data[0]["source"].tolist() == [0, 5, 6, 2] and data.sizes == [4, 3]
