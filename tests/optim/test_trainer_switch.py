"""A real fairseq-train that changes between adam and fused_adam in mid-run."""

import json
import os
import subprocess
import sys
from pathlib import Path

# fairseq's own masked_lm task needs a corpus; a toy of three classes does not.
DRIVER = '''
import json
import shutil
import sys
from dataclasses import dataclass

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.data import FairseqDataset
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from fairseq.tasks import FairseqTask, register_task
from fairseq_cli.train import cli_main

import fairseq_metro.optim.fused_adam


class Numbers(FairseqDataset):
    sizes = [1] * 8

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return index

    def num_tokens(self, index):
        return 1

    size = num_tokens

    def collater(self, samples):
        x = torch.tensor(samples, dtype=torch.float)[:, None] / 8
        return {"net_input": {"x": x}, "nsentences": len(samples), "ntokens": len(samples)}


@dataclass
class NoOptions(FairseqDataclass):
    pass


@register_task("numbers", dataclass=NoOptions)
class NumbersTask(FairseqTask):
    source_dictionary = target_dictionary = None

    def load_dataset(self, split, **kwargs):
        self.datasets[split] = Numbers()


@register_model("line", dataclass=NoOptions)
class Line(BaseFairseqModel):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1)
        )

    @classmethod
    def build_model(cls, cfg, task):
        return cls()

    def forward(self, x):
        return self.layers(x)

    def max_positions(self):
        return 9


@register_criterion("square", dataclass=NoOptions)
class Square(FairseqCriterion):
    def forward(self, model, sample, reduce=True):
        x, n = sample["net_input"]["x"], sample["nsentences"]
        loss = (model(x) - x.sin()).square().sum()
        return loss, n, {"loss": loss.data, "nsentences": n, "ntokens": n, "sample_size": n}

    @staticmethod
    def reduce_metrics(logging_outputs):
        pass

    @staticmethod
    def logging_outputs_can_be_summed():
        return True


def train(folder, optimizer, updates):
    """Train to an update, from where the folder's last checkpoint stands; returns the weights."""
    sys.argv = ["fairseq-train", "--task", "numbers", "--arch", "line", "--criterion", "square",
                "--optimizer", optimizer, "--adam-eps", "1e-3", "--adam-betas", "(0.9, 0.98)",
                "--weight-decay", "0.1", "--lr", "0.01", "--lr-scheduler", "inverse_sqrt",
                "--warmup-updates", "5", "--clip-norm", "1.0", "--batch-size", "2", "--cpu",
                "--max-update", str(updates), "--save-dir", folder, "--disable-validation",
                "--no-epoch-checkpoints", "--num-workers", "0"]
    cli_main()
    state = torch.load(folder + "/checkpoint_last.pt", weights_only=True)
    assert state["optimizer_history"][-1]["num_updates"] == updates
    return torch.cat([value.flatten() for value in state["model"].values()]).tolist()


train("stock", "adam", 10)
train("ours", "fused_adam", 10)
shutil.copytree("stock", "stock then ours")
weights = {
    "straight": train("stock", "adam", 20),
    "to ours": train("stock then ours", "fused_adam", 20),
    "to stock": train("ours", "adam", 20),
}
with open("weights.json", "w") as stream:
    json.dump(weights, stream)
'''


def test_fairseq_train_resumes_with_the_other_adam_and_gets_the_same_weights(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent),
    }
    done = subprocess.run(
        [sys.executable, "driver.py"], cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    weights = json.loads((tmp_path / "weights.json").read_text())
    largest = max(map(abs, weights["straight"]))
    for name in ("to ours", "to stock"):
        pairs = zip(weights[name], weights["straight"], strict=True)
        assert max(abs(a - b) for a, b in pairs) <= 1e-6 * largest
