"""Small data, teachers and students of prompt distillation, which several tests share."""

from types import SimpleNamespace

import torch

from fairseq_metro.interchange.model import HF_T5, MAIN, ROBERTA, Model
from fairseq_metro.interchange.run_folder import write_run_folder
from fairseq_metro.models.hf_t5 import HfT5Config, HfT5Model
from fairseq_metro.models.metro_t5 import T5TransformerConfig, T5TransformerModel
from fairseq_metro.models.roberta import RobertaMLMConfig, RobertaMLMModel
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.prepare import intermediate_samples
from tests.training import OPTIMIZATION, QUIET, ROOT, call

STUDENT = ["--embed-dim=16", "--ffn-dim=24", "--attention-heads=2", "--encoder-layers=1",
           "--max-positions=136"]  # fmt: skip
KINDS = {
    ROBERTA: (RobertaMLMModel, RobertaMLMConfig),
    MAIN: (T5TransformerModel, T5TransformerConfig),
    HF_T5: (HfT5Model, HfT5Config),
}


def make_data(folder, *options, **changes):
    """DATA of 60 pairs and 12 held-out ones."""
    sizes = ["--size", "60", "--valid-size", "12", "--held-out", "0.1"]
    return intermediate_samples.run(folder, *sizes, *options, **changes)


def write_teacher(folder, seed=0, kind=ROBERTA, scale=0.3, **changes):
    """A run's folder with a random model that has opinions; two layers, width 16."""
    sizes = dict(embed_dim=16, ffn_dim=24, attention_heads=2, encoder_layers=2, max_positions=136)
    if kind != ROBERTA:
        sizes |= dict(decoder_layers=1, relative_position_buckets=8)
        sizes |= dict(relative_position_max_distance=20)
    if kind == HF_T5:
        sizes["head_dim"] = 8
    config = {**sizes, **changes}
    vocabulary = Vocabulary.load(intermediate_samples.vocabulary_folder())
    torch.manual_seed(seed)
    model_class, config_class = KINDS[kind]
    task = SimpleNamespace(source_dictionary=vocabulary.dictionary())
    model = model_class.build_model(config_class(**config), task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    write_run_folder(Model(kind, config, model.state_dict(), vocabulary.path, "made up"), folder)
    return folder


def command(data, save_dir, *options, arch="roberta_mlm_tiny", sizes=STUDENT):
    """The words of a fairseq-train command with --task prompt_distillation."""
    return [
        str(data), f"--user-dir={ROOT / 'fairseq_metro'}", "--task=prompt_distillation",
        "--criterion=prompt_distillation", f"--arch={arch}", f"--save-dir={save_dir}",
        "--batch-size=12", "--cpu", "--num-workers=0", *sizes, *OPTIMIZATION, *QUIET, *options,
    ]  # fmt: skip


def train(data, save_dir, *options, **changes):
    """fairseq-train with --task prompt_distillation; its log."""
    return call("train", command(data, save_dir, *options, **changes))
