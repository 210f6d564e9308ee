"""Runs of ours of every kind with every parameter non-zero, and what transformers makes of them."""

import sys
from types import SimpleNamespace

import pytest
import torch

from fairseq_metro.interchange.model import Model
from fairseq_metro.interchange.run_folder import write_run_folder
from fairseq_metro.models.hf_t5 import HfT5Config, HfT5Model
from fairseq_metro.models.metro_t5 import MetroT5Config, MetroT5Model, T5TransformerModel
from fairseq_metro.models.roberta import RobertaMLMConfig, RobertaMLMModel

SIZES = dict(
    embed_dim=16, ffn_dim=24, attention_heads=2, encoder_layers=3, decoder_layers=2,
    max_positions=40, relative_position_buckets=8, relative_position_max_distance=20,
)  # fmt: skip
KINDS = {
    "t5_transformer": (T5TransformerModel, MetroT5Config, SIZES),
    "metro_t5": (MetroT5Model, MetroT5Config, {**SIZES, "auxiliary_layers": 1}),
    "hf_t5": (HfT5Model, HfT5Config,
              dict(embed_dim=16, ffn_dim=24, head_dim=8, attention_heads=2, encoder_layers=2,
                   decoder_layers=3, max_positions=40, relative_position_buckets=8,
                   relative_position_max_distance=20)),
    "roberta_mlm": (RobertaMLMModel, RobertaMLMConfig,
                    dict(embed_dim=16, ffn_dim=24, attention_heads=2, encoder_layers=2,
                         max_positions=40)),
}  # fmt: skip
STAMP = {"fairseq_metro": "0.1.0", "commit": "abc", "data": ["f" * 64],
         "command": "/usr/bin/fairseq-train /mine/data --save-dir '/my runs/one' --lr 0.1"}  # fmt: skip


def write_run(folder, vocabulary, name, **changes):
    """A run's folder of a random model; returns (folder, the model in evaluation mode)."""
    model_class, config_class, sizes = KINDS[name]
    cfg = config_class(**{**sizes, **changes})
    task = SimpleNamespace(source_dictionary=vocabulary.dictionary(),
                           target_dictionary=vocabulary.dictionary())  # fmt: skip
    model, generator = model_class.build_model(cfg, task), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.3 if parameter.dim() == 1 else parameter.size(-1) ** -0.5
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    fields = {key: value for key, value in vars(cfg).items() if key[0] != "_"}
    fields = {key: value for key, value in fields.items() if not str(value).startswith("${")}
    stamp = {**STAMP, "vocabulary": vocabulary.hash}
    found = Model(name, fields, model.state_dict(), vocabulary.path, "a test", 70, stamp)
    write_run_folder(found, folder)
    return folder, model.eval()


@pytest.fixture
def modules_cache(tmp_path, monkeypatch):
    """transformers copies remote code here, not into the user's cache; forgotten afterwards."""
    for name in ("dynamic_module_utils", "utils.hub", "utils"):
        module = __import__(f"transformers.{name}", fromlist=["x"])
        if hasattr(module, "HF_MODULES_CACHE"):
            monkeypatch.setattr(module, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        del sys.modules[name]


def batch(vocabulary, sizes=(9, 14, 5), targets=(4, 7, 2), seed=1):
    """(sources, targets): lists of ids, ended by </s>."""
    generator = torch.Generator().manual_seed(seed)

    def some(lengths):
        rows = [torch.randint(4, len(vocabulary), (n,), generator=generator) for n in lengths]
        return [torch.cat([row, torch.tensor([2])]) for row in rows]

    return some(sizes), some(targets)


def padded(rows, left=False):
    """Rows of ids as (B, T), padding on the right or on the left."""
    out = torch.full((len(rows), max(map(len, rows))), 1)
    for i, row in enumerate(rows):
        out[i, -len(row) :] = row if left else out[i, -len(row) :]
        if not left:
            out[i, : len(row)] = row
    return out


def shifted(targets):
    """The decoder's input of padded targets: </s> first."""
    previous = torch.full_like(targets, 2)
    previous[:, 1:] = targets[:, :-1]
    return previous


def files(folder):
    """{name: bytes} of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}  # fmt: skip
