"""docs/worked_examples.md is true, and a METRO-T5 model does to Table 1's sentence what it says."""

import doctest

import numpy as np
import torch

from fairseq_metro.criterions.metro_t5 import MetroT5Criterion
from fairseq_metro.modules.heads import Logits
from tests import tiny

SENTENCE = list(range(4, 14))  # Thank you for inviting me to your party last week
GIVING, APPLE = 20, 21
MASKED = [2, 3, 8]


def test_every_line_of_the_page_is_true(root):
    page = str(root / "docs" / "worked_examples.md")
    found = doctest.testfile(page, module_relative=False)
    assert found.attempted > 30 and found.failed == 0


class Sure(torch.nn.Module):
    """A head of the auxiliary model that says ``for giving apple`` whatever it is shown."""

    def unprojected(self, rows, table):
        logits = torch.zeros(len(rows), len(table), dtype=rows.dtype)
        logits[torch.arange(3), torch.tensor([SENTENCE[2], GIVING, APPLE])] = 30.0
        return Logits(logits)


def batch():
    """Table 1's sentence as the collater makes a batch of it, its masks given."""
    data, target = tiny.dataset(), np.array(SENTENCE)
    noised = target.copy()
    noised[MASKED] = data.mask
    sample = {"id": 0, "target": target, "noised": noised, "masked": np.array(MASKED)}
    return data, data.collater([{**sample, "uniform": np.array([0.3, 0.6, 0.9])}])


def test_a_model_makes_table_1_of_its_sentence():
    data, sample = batch()
    inputs = sample["net_input"]
    words = inputs["src_tokens"][0, :10].tolist()
    assert [i for i, word in enumerate(words) if word == data.mask] == MASKED
    assert inputs["prev_output_tokens"][0, :10].tolist() == [data.decoder_start, *SENTENCE[:9]]

    model = tiny.model()
    model.mlm_head = Sure()
    out = model(**inputs)
    noise = out.src_noise[0, :10].tolist()
    assert noise == [*SENTENCE[:3], GIVING, *SENTENCE[4:8], APPLE, SENTENCE[9]]
    assert out.clm_logits.shape[0] == len(MASKED)  # all tokens, masked loss

    criterion = MetroT5Criterion(tiny.task(), 50.0, 1.0, "recipe")
    _, n_masked, counts = criterion(model, sample)
    assert n_masked == 3 and counts["n_replaced"] == 2  # "for" was guessed right
    assert counts["n_replaced_masked"] == 2 and counts["mlm_correct"] == 1
    log_p = out.clm_logits.double().log_softmax(-1)
    expected = -sum(float(log_p[row, SENTENCE[i]]) for row, i in enumerate(MASKED))
    assert abs(float(counts["clm_loss"]) - expected) < 1e-4
