"""train_scripts/configs: what fairseq-hydra-train reads equals what the scripts give fairseq-train."""

import json
import sys

import pytest
import torch
from fairseq import options as fairseq_options
from fairseq.dataclass.initialize import add_defaults, hydra_init
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_cli.hydra_train import _hydra_main
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fairseq_metro.common.errors import UserError
from fairseq_metro.recipes import configs, finetuning_configs, smash_configs
from fairseq_metro.recipes.batches import share_out
from fairseq_metro.recipes.table import pretraining
from fairseq_metro.recipes.words import words
from fairseq_metro.tasks.hydra_names import refuse_architecture_name
from tests.tasks.conftest import corpus, data, vocabulary  # noqa: F401  fixtures
from tests.training import ROOT, call, equal, spawn

FOLDER = ROOT / "train_scripts" / "configs"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # hydra, of fairseq's own config
# What differs by nature: the architecture's name stays in one, folders and their like in the other.
APART = {"user_dir", "data", "save_dir", "_name", "job_logging_cfg"}


def plain(cfg):
    return OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)


def flat(cfg):
    """group.key -> value of a resolved config, without what may differ."""
    cfg = plain(cfg) if OmegaConf.is_config(cfg) else cfg
    return {
        f"{group}.{key}": value
        for group, values in cfg.items()
        if isinstance(values, dict) and group != "scoring"  # of translations; not ours
        for key, value in values.items()
        if key not in APART
    }


@pytest.mark.parametrize("name", configs.names())
def test_the_files_are_up_to_date(name):
    again = "python -m fairseq_metro.recipes.configs --out train_scripts/configs"
    assert (FOLDER / f"{name}.yaml").read_text() == configs.text(name), f"run: {again}"


def test_there_is_no_file_too_many():
    known = {*configs.names(), *finetuning_configs.names(), *smash_configs.names()}
    assert {path.stem for path in FOLDER.iterdir()} == known


SOME = "metro_t5_tiny metro_t5_basepp_release metro_t5_largepp t5_small t5_basepp_release".split()


@pytest.mark.parametrize("name", SOME)
def test_hydra_resolves_a_file_to_the_config_of_the_script(name):
    row = pretraining(*configs.names()[name])
    said = ["DATA", *words(row, share_out(row, 1), "SAVE"), "--distributed-world-size=1"]
    parsed = fairseq_options.parse_args_and_arch(fairseq_options.get_training_parser(), said)
    train = convert_namespace_to_omegaconf(parsed)
    hydra_init(name)
    with initialize_config_dir(str(FOLDER), version_base="1.1"):
        hydra = compose(name)
    for group in ("task", "checkpoint"):
        OmegaConf.set_struct(hydra, False)
        hydra[group].save_dir = "SAVE"
    hydra.common.user_dir = None
    add_defaults(hydra)
    ours, theirs = flat(hydra), flat(train)
    different = {k: (ours.get(k), theirs[k]) for k in theirs if ours.get(k, "absent") != theirs[k]}
    assert different == {}
    assert train.model._name == row.architecture and hydra.model._name == row.model


def hydra_train(data, run, *overrides):  # noqa: F811
    words = [f"--config-dir={FOLDER}", "--config-name=metro_t5_tiny", f"task.data={data}"]
    words += ["common.cpu=true", "common.log_interval=1", f"checkpoint.save_dir={run}"]
    words += ["optimization.max_update=2", f"hydra.run.dir={run}/hydra", *overrides]
    return spawn([f"{sys.exec_prefix}/bin/fairseq-hydra-train", *words])


def test_the_first_updates_are_bit_equal_through_both_commands(data, tmp_path):  # noqa: F811
    row = pretraining("metro_t5", "tiny")
    said = [data, f"--user-dir={ROOT / 'fairseq_metro'}", "--cpu", "--distributed-world-size=1"]
    said += [*words(row, share_out(row, 1), tmp_path / "train"), "--max-update=2"]
    log = call("train", [*said, "--log-interval=1"])
    done = hydra_train(data, tmp_path / "hydra")
    assert done.returncode == 0, done.stdout + done.stderr
    text, losses = (tmp_path / "hydra" / "hydra" / "hydra_train.log").read_text(), {}
    for line in text.splitlines():
        if "train_inner" in line and "{" in line:
            values = json.loads(line[line.index("{") :])
            losses[int(values["num_updates"])] = values["loss"]
    assert losses == log.losses() and set(losses) == {1, 2}
    train, hydra = (
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)
        for name in ("train", "hydra")
    )
    assert equal(train["model"], hydra["model"])
    ours, theirs = flat(hydra["cfg"]), flat(train["cfg"])
    different = {key for key in theirs if ours.get(key, "absent") != theirs[key]}
    assert different == set()


def test_an_architectures_name_is_refused_with_advice(data, tmp_path, monkeypatch):  # noqa: F811
    """As fairseq-hydra-train runs a file without sizes; in this process, for speed."""
    monkeypatch.setattr("sys.argv", ["fairseq-hydra-train"])
    hydra_init("t5_tiny")
    with initialize_config_dir(str(FOLDER), version_base="1.1"):
        cfg = compose("t5_tiny", overrides=["common.cpu=true", f"task.data={data}"])
    cfg.common.user_dir, cfg.checkpoint.save_dir = str(ROOT / "fairseq_metro"), str(tmp_path)
    OmegaConf.set_struct(cfg, False)
    cfg.model = {"_name": "t5_transformer_tiny"}
    with pytest.raises(UserError, match=r"t5_transformer_tiny, an arch.*configs/t5_tiny.yaml"):
        _hydra_main(cfg)


def test_a_models_own_name_is_welcome_under_hydra_and_an_architectures_elsewhere(monkeypatch):
    refuse_architecture_name("metro_t5_tiny")
    monkeypatch.setattr("sys.argv", ["bin/fairseq-hydra-train"])
    refuse_architecture_name("metro_t5")
    with pytest.raises(UserError, match=r"model._name: metro_t5 .*configs/metro_t5_basepp.yaml"):
        refuse_architecture_name("metro_t5_basepp")
