"""train_scripts/smash_*.sh and their YAML counterparts: the paper's numbers, settings, mistakes."""

import json
import shlex

import pytest
from fairseq.dataclass.initialize import add_defaults, hydra_init
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from fairseq_metro.common.errors import UserError
from fairseq_metro.recipes import configs, finetuning_configs, smash_configs
from fairseq_metro.recipes.batches import share_sequences
from fairseq_metro.recipes.memory import resolved
from fairseq_metro.recipes.smash import words
from fairseq_metro.recipes.smash_table import GROUPS, MODELS, SETTINGS, distillation
from fairseq_metro.smash.groups import load_group
from tests.scripts.test_configs import FOLDER, flat
from tests.scripts.test_pretrain import options_of, started  # noqa: F401  a fixture
from tests.training import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # hydra, of fairseq's own config
SCRIPTS = {"smash_pair.sh": "sentence_pair", "smash_single.sh": "single_sentence"}


def write_data(folder, group="sentence_pair", kind="roberta", examples=1_300_000):
    """A data folder's stamp, as far as the scripts read it."""
    folder.mkdir(parents=True)
    stamp = {
        "vocabulary": "v", "kind": kind, "data": "d", "template": "t", "verbalizer": {},
        "settings": {"group": {"name": group}},
        "splits": {"train": {"examples": examples}, "valid": {"examples": 999}},
    }  # fmt: skip
    (folder / "intermediate.json").write_text(json.dumps(stamp))
    return folder


def write_text(folder):
    """A data folder of raw text, as far as the scripts read it."""
    folder.mkdir()
    for name in ("train.idx", "valid.idx"):
        (folder / name).touch()
    return folder


@pytest.fixture
def begin(started, tmp_path):  # noqa: F811
    """As ``started``, with data of pairs, a student and a teacher."""
    for name in ("student/vocab", "teacher"):
        (tmp_path / name).mkdir(parents=True)
    data = write_data(tmp_path / "prompts")
    given = {"DATA": str(data), "INIT": str(tmp_path / "student"), "PYTHONPATH": str(ROOT),
             "TEACHER": str(tmp_path / "teacher")}  # fmt: skip
    return lambda script, *options, **changes: started(script, *options, **given | changes)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_numbers_are_the_papers(script, begin, tmp_path):
    data = write_data(tmp_path / "own", SCRIPTS[script])
    done, said = begin(script, "--seed", "7", DATA=str(data), PROCESSES="2", BATCH="16")
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    options = options_of(said)
    assert options["--arch"] == "roberta_mlm_distil" and options["--seed"] == "7"
    assert (float(options["--lr"]), int(options["--max-update"])) == (1e-4, 200_000)
    assert int(options["--update-freq"]) * 16 * 2 == 128
    assert options["--init-from"] == str(tmp_path / "student")
    assert options["--teacher"] == str(tmp_path / "teacher")
    assert "--distillation" not in options and "--teacher-cache" not in options
    assert "--keep-interval-updates" not in options  # checkpoints of Figure 2
    # 1.3 million pairs are gone through ten times as often as the paper says.
    assert "visit each of the 1,300,000 prompts 19.7 times" in done.stderr
    assert (tmp_path / "run" / "command.txt").exists()


def test_the_table_agrees_with_the_groups():
    for group in GROUPS:
        row, recipe = distillation(group), load_group(group).recipe
        assert (row.lr, row.prompts, row.updates) == (
            recipe["learning_rate"], recipe["batch"], recipe["steps"],
        )  # fmt: skip


SETTING_OPTIONS = {
    "ce": {},
    "hidden": {"--hidden-weight": "0.01"},
    "attention": {"--attention-weight": "0.01"},
    "mlm": {
        "--distillation": "mlm",
        "--lr": "1e-05",
        "--tokens-per-sample": "512",
        "--batch-size": "4",
        "--update-freq": "32",
    },
    "rule": {"--distillation": "rule", "--lr": "1e-05"},
    "temperature": {"--temperature": "2"},
}


def test_each_setting_is_its_options_and_nothing_else(begin, tmp_path):
    found = {}
    for setting in SETTINGS:
        own = {"TEACHER": ""} if setting == "rule" else {}
        own |= {"DATA": str(write_text(tmp_path / "text"))} if setting == "mlm" else {}
        done, said = begin("smash_pair.sh", SETTING=setting, **own)
        assert done.returncode == 0, done.stderr
        found[setting] = options_of(said)
    method = found["ce"]
    for setting, expected in SETTING_OPTIONS.items():
        changed = {key for key in found[setting] | method
                   if found[setting].get(key) != method.get(key)}  # fmt: skip
        gone = {"--teacher"} if setting == "rule" else set()
        assert changed == set(expected) | gone, setting
        assert {key: found[setting][key] for key in expected} == expected


def test_t5_learns_prompts_of_its_own_kind(begin, tmp_path):
    data = write_data(tmp_path / "own", kind="t5")
    done, said = begin("smash_pair_t5.sh", DATA=str(data))
    assert done.returncode == 0, done.stderr
    assert options_of(said)["--arch"] == "hf_t5_small"
    done, said = begin("smash_single_t5.sh", MODEL="t5", ARCH="basepp")
    assert said == [] and "of the group sentence_pair, not of single_sentence" in done.stderr


def test_a_size_for_cpus_is_warned_of(begin):
    done, said = begin("smash_pair.sh", ARCH="tiny")
    assert options_of(said)["--max-update"] == "2000"
    assert "warning: tiny is no size of the paper's" in done.stderr


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"INIT": ""}, "INIT is not set"),
        ({"INIT": "no/run"}, "INIT is 'no/run': no such file"),
        ({"TEACHER": ""}, "TEACHER is not set"),
        ({"TEACHER": "no/run"}, "TEACHER is 'no/run': no such file"),
        ({"SETTING": "rule"}, "SETTING=rule has no teacher"),
        ({"SETTING": "hidden", "TEACHER": ""}, "needs the teacher's states"),
        ({"SETTING": "hiden"}, "perhaps hidden"),
        ({"DATA": "no/data"}, "DATA is 'no/data', no folder"),
        ({"DATA": ""}, "set DATA to a folder"),
        ({"DATA": "/"}, "without a whole intermediate.json"),
        ({"MODEL": "hf"}, "prompts of kind roberta; MODEL=hf needs t5"),
        ({"MODEL": "hf", "SETTING": "attention"}, "a RoBERTa's; MODEL=hf has it not"),
        ({"SETTING": "mlm"}, "SETTING=mlm reads raw text"),
        ({"SETTING": "mlm", "TEXT": "x"}, "TEXT with SETTING=mlm"),
        ({"ARCH": "bas"}, "perhaps base"),
        ({"PROCESSES": "3"}, "3 processes cannot share an update of 128"),
        ({"BATCH": "24"}, "24 x 1 must divide 128"),
        ({"TEXT": "x", "MACHINES": "2", "MACHINE": "0"}, "on one of them first"),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(changes, said, begin, tmp_path):
    done, command = begin("smash_pair.sh", **changes)
    assert done.returncode != 0 and command == [] and not (tmp_path / "run").exists()
    (line,) = done.stderr.strip().splitlines()
    assert said in line and line.startswith("error: ")


def test_single_sentences_have_no_rule_labels():
    with pytest.raises(UserError, match="no rule labels; take pairs"):
        distillation("single_sentence", "rule")


# A plan: every command, none of them run.


def planned(done):
    return [shlex.split(line) for line in done.stdout.splitlines()]


def test_a_plan_prints_data_cache_and_training_and_runs_nothing(begin, tmp_path):
    done, said = begin("smash_single.sh", "--plan", DATA=str(tmp_path / "new"), TEXT="a.txt b.txt",
                       CACHE="said", SIZE="3000", PROCESSES="4")  # fmt: skip
    assert done.returncode == 0 and said == [], done.stderr
    data, cache, train = planned(done)
    told = " ".join(data)
    begin_of_data = (
        "python -m fairseq_metro intermediate --group single_sentence --input a.txt b.txt"
    )
    assert told.startswith(begin_of_data)
    options = options_of(data)
    assert options["--vocab"] == str(tmp_path / "student" / "vocab") and options["--size"] == "3000"
    assert (
        options["--filter-teacher"] == str(tmp_path / "teacher") and options["--kind"] == "roberta"
    )
    assert cache[:5] == ["python", "-m", "fairseq_metro", "cache-teacher", str(tmp_path / "new")]
    assert options_of(cache) == {"--teacher": str(tmp_path / "teacher"), "--dest": "said"}
    options = options_of(train)
    assert options["--teacher-cache"] == "said" and "--teacher" not in options
    assert train[:4] == ["bash", "train_scripts/launch.sh", "4", "fairseq-train"]
    assert not (tmp_path / "run").exists() and not (tmp_path / "new").exists()
    # Pairs are never filtered, single sentences only while nobody says no; never by a T5.
    for script, changes in (("smash_pair.sh", {}), ("smash_single.sh", {"FILTER": "no"}),
                            ("smash_single_t5.sh", {})):  # fmt: skip
        done, _ = begin(script, PLAN="1", DATA=str(tmp_path / "new"), TEXT="a.txt", **changes)
        assert done.returncode == 0 and "--filter-teacher" not in done.stdout, done.stderr
    done, _ = begin("smash_single_t5.sh", PLAN="1", TEXT="a.txt", FILTER="model")
    assert done.returncode != 0 and "the filter reads a RoBERTa's prompts" in done.stderr


def test_a_hugging_face_student_brings_its_tokenizer(begin, tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "vocab.json").write_text("{}")
    done, _ = begin("smash_pair.sh", PLAN="1", INIT=str(tmp_path / "hf"), TEXT="a.txt",
                    DATA=str(tmp_path / "new"))  # fmt: skip
    assert options_of(planned(done)[0])["--tokenizer"] == str(tmp_path / "hf")
    (tmp_path / "hf" / "vocab.json").unlink()
    done, _ = begin("smash_pair.sh", PLAN="1", INIT=str(tmp_path / "hf"), TEXT="a.txt")
    assert done.returncode != 0 and "no vocab/ beside INIT=" in done.stderr


# YAML for fairseq-hydra-train


@pytest.mark.parametrize("name", smash_configs.names())
def test_the_files_are_up_to_date(name):
    again = "python -m fairseq_metro.recipes.smash_configs --out train_scripts/configs"
    assert (FOLDER / f"{name}.yaml").read_text() == smash_configs.text(name), f"run: {again}"


def test_no_name_is_used_twice():
    others = {*configs.names(), *finetuning_configs.names()}
    assert not set(smash_configs.names()) & others
    assert {setting for setting, _ in smash_configs.names().values()} == set(SETTINGS)
    assert {model for _, model in smash_configs.names().values()} <= set(MODELS)


@pytest.mark.parametrize("name", smash_configs.names())
def test_hydra_resolves_a_file_to_the_config_of_the_script(name):
    row = smash_configs.row_of(name)
    said = words(row, share_sequences(row, 1), "SAVE")
    train = resolved([*said, "--distributed-world-size=1"])
    hydra_init(name)
    with initialize_config_dir(str(FOLDER), version_base="1.1"):
        hydra = compose(name)
    OmegaConf.set_struct(hydra, False)
    hydra.task.init_from, hydra.task.save_dir, hydra.common.user_dir = "", "SAVE", None
    hydra.checkpoint.save_dir = "SAVE"
    add_defaults(hydra)
    ours, theirs = flat(hydra), flat(train)
    different = {k: (ours.get(k), theirs[k]) for k in theirs if ours.get(k, "absent") != theirs[k]}
    # fairseq-generate's --temperature has the same name, and no part in training.
    different.pop("generation.temperature", None)
    assert different == {}
