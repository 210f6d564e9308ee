"""Small models, originals and splits of few-shot fine-tuning, which several tests share."""

import functools
import json
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch

from fairseq_metro.interchange.model import HF_T5, MAIN, ROBERTA, Model
from fairseq_metro.interchange.run_folder import write_run_folder
from fairseq_metro.models.hf_t5 import HfT5Config, HfT5Model
from fairseq_metro.models.metro_t5 import T5TransformerConfig, T5TransformerModel
from fairseq_metro.models.roberta import RobertaMLMConfig, RobertaMLMModel
from fairseq_metro.prepare.train_vocabulary import train_vocabulary
from fairseq_metro.smash.splits import kshot_split
from fairseq_metro.smash.tasks import load_task, required_words
from fairseq_metro.vocabulary.folder import Vocabulary
from tests.prepare import samples

SIZES = dict(embed_dim=16, ffn_dim=24, attention_heads=2, encoder_layers=1, max_positions=136)
T5_SIZES = SIZES | dict(
    decoder_layers=1, relative_position_buckets=8, relative_position_max_distance=20
)
CLASSES = {
    ROBERTA: (RobertaMLMModel, RobertaMLMConfig, SIZES),
    MAIN: (T5TransformerModel, T5TransformerConfig, T5_SIZES),
    HF_T5: (HfT5Model, HfT5Config, T5_SIZES | dict(head_dim=8)),
}
_kept = tempfile.TemporaryDirectory()


def flags(kind=ROBERTA):
    """Options of fairseq-train for a model's sizes."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in CLASSES[kind][2].items()]


@functools.cache
def vocabulary():
    """A vocabulary folder in which every label and prompt word is one piece."""
    folder = Path(_kept.name)
    text, words = folder / "text", folder / "words"
    text.write_text(samples.text(0, 30) + "Really? Yes: no, not so.\n" * 30, "utf-8")
    words.write_text("\n".join(required_words()) + "\n")
    train_vocabulary([text], folder / "v", 700, required_words=words)
    return folder / "v"


def write_model(folder, seed=0, vocab=None, kind=ROBERTA):
    """A run's folder with a random RoBERTa, or T5, that has opinions."""
    found = Vocabulary.load(vocab or vocabulary())
    model_class, config, sizes = CLASSES[kind]
    torch.manual_seed(seed)
    task = SimpleNamespace(source_dictionary=found.dictionary())
    model = model_class.build_model(config(**sizes), task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    write_run_folder(Model(kind, sizes, model.state_dict(), found.path, "made up"), folder)
    return folder


def write_originals(folder, rows=60, tests=11):
    """LM-BFF's files of SST-2 and STS-B: the first word tells the label."""
    rng = random.Random(0)
    words = "river stone house child winter letter garden".split()
    sst, sts = folder / "SST-2", folder / "STS-B"
    sst.mkdir(parents=True)
    sts.mkdir()
    for name, count in (("train", rows), ("dev", tests)):
        lines, scores = ["sentence\tlabel"], ["\t".join("abcdefghi") + "\tscore"]
        for i in range(count):
            label = int(i % 3 > 0)
            said = " ".join(rng.choices(words, k=rng.randint(1, 12)))
            lines.append(f"{'nice' if label else 'poor'} {said}\t{label}")
            columns = [str(i), *"bcdefg", f"the {said}", f"a {said}", f"{i % 6:.1f}"]
            scores.append("\t".join(columns))
        (sst / f"{name}.tsv").write_text("\n".join(lines) + "\n")
        (sts / f"{name}.tsv").write_text("\n".join(scores) + "\n")
    return folder


def write_automatic_prompts(folder, seeds=(13,), k=16):
    """Templates and label words of MNLI's and SST-2's splits, as a copy of LM-BFF has them."""
    templates = {"mnli": "*cls**sent_0*{}*mask*,*+sentl_1**sep+*",
                 "sst2": "*cls**sent_0*{}*mask*.*sep+*"}  # fmt: skip
    for name, template in templates.items():
        task = load_task(name)
        words = json.dumps(dict(zip(task.words, ["Yes", "No", "great"], strict=False)))
        lines = {"auto_template": [template.format(mark) for mark in "?.!:;,"],
                 "auto_label_mapping": [words]}  # fmt: skip
        for seed in seeds:
            for kind, prompts in lines.items():
                path = folder / kind / task.folder / f"{k}-{seed}.sort.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(f"{line}\n" for line in prompts), "utf-8")
    return folder


def split(folder, task="sst2", k=4, seed=13):
    """A K-shot folder of hand-made originals."""
    originals = folder / "originals"
    if not originals.exists():
        write_originals(originals)
    return kshot_split(load_task(task), originals, k, seed, folder / "kshot")
