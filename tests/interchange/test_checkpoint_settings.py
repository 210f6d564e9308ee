"""What a stranger's checkpoint may say: nothing in its configuration runs, is imported or followed."""

import copy
import dataclasses
import sys

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.registry import REGISTRIES
from fairseq.tasks import TASK_REGISTRY

import fairseq_metro
from fairseq_metro.common.errors import UserError, user_message
from fairseq_metro.inference import predict
from fairseq_metro.interchange.checkpoint_settings import (
    NAME_OR_PATH,
    PATHS,
    checked_group,
    checked_settings,
    dataclass_of,
)
from fairseq_metro.interchange.hf_t5 import read_run
from fairseq_metro.interchange.mask_models import load_mask_model
from fairseq_metro.interchange.model import read_model
from fairseq_metro.prepare.starting_model import starting_model
from tests.tasks.conftest import corpus, data, vocabulary  # noqa: F401  fixtures
from tests.tasks.test_prompt_finetuning import BIN, PLUGIN
from tests.training import spawn, train

OWN_TASKS = sorted(name for name in TASK_REGISTRY if dataclass_of("task", name))
STOCK_TASKS = sorted(TASK_REGISTRY.keys() - set(OWN_TASKS))
MODELS = sorted(MODEL_REGISTRY.keys() | ARCH_MODEL_REGISTRY.keys())
STOCK_MODELS = [name for name in MODELS if not dataclass_of("model", name)]
# Text fields that hold no path: names of symbols, splits, backends, numbers written as text.
NOT_PATHS = {
    "_name", "decoder_start", "pretraining_decoder_start", "ddp_backend", "max_update", "update_freq",
    "max_tokens", "max_tokens_valid", "train_subset", "sentence_avg",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):  # noqa: F811
    """A run's folder after one update of METRO-T5."""
    folder = tmp_path_factory.mktemp("run")
    train(data, folder, "--max-update=1", "--disable-validation")
    return folder


@pytest.fixture(scope="module")
def settings(run):
    """The configuration inside its checkpoint, plain."""
    return torch.load(run / "checkpoint_last.pt", weights_only=True)["cfg"]


@pytest.fixture
def forge(run, tmp_path):
    """forge(change): a copy of the run whose configuration ``change(cfg)`` has altered in place."""
    state = torch.load(run / "checkpoint_last.pt", weights_only=True)

    def make(change):
        altered = {**state, "cfg": copy.deepcopy(state["cfg"])}
        change(altered["cfg"])
        if not (tmp_path / "vocab").exists():
            (tmp_path / "vocab").symlink_to(run / "vocab")
        torch.save(altered, tmp_path / "checkpoint_last.pt")
        return tmp_path

    return make


@pytest.fixture
def canary(tmp_path):
    """(Python text that makes a file when it is evaluated, the file)."""
    place = tmp_path / "executed"
    return f"__import__('pathlib').Path({str(place)!r}).touch() or [(8, 2, 2)] * 2", place


def opened_by_stock(folder):
    checkpoint_utils.load_model_ensemble_and_task(
        [str(folder / "checkpoint_last.pt")], arg_overrides={"data": str(folder)}
    )


def message_of(function, *arguments):
    with pytest.raises(Exception) as caught:
        function(*arguments)
    message = user_message(caught.value)
    assert message and "\n" not in message, repr(caught.value)
    return message


def test_our_own_configuration_passes_and_keeps_everything_but_its_paths(settings):
    checked = checked_settings(settings, "X")
    for group, values in settings.items():
        if isinstance(values, dict):
            for name, value in values.items():
                if (group, name) != ("common", "user_dir") and not (
                    group == "task" and name in PATHS
                ):
                    assert checked[group][name] == value, (group, name)
    assert settings["task"]["data"] and checked["task"]["data"] == ""
    assert settings["common"]["user_dir"] != checked["common"]["user_dir"] is None


def test_no_stock_model_is_built(canary):
    text, place = canary
    assert {"wav2vec2", "fconv", "lightconv_lm", "transformer"} <= set(STOCK_MODELS)
    assert len(STOCK_MODELS) > 100
    for model in STOCK_MODELS:
        fields = dict.fromkeys(["conv_feature_layers", "encoder_layers", "character_filters"], text)
        cfg = {"task": {"_name": "t5"}, "model": {"_name": model, **fields}}
        message = message_of(checked_settings, cfg, "X.pt")
        assert f"the model {model!r}, which is not one of fairseq_metro's" in message
    assert not place.exists()


def test_no_stock_task_or_criterion_is_set_up(settings, canary):
    text, place = canary
    for task in STOCK_TASKS:
        message = message_of(
            checked_settings, {**settings, "task": {"_name": task, "data": text}}, "X"
        )
        assert f"the task {task!r}, which is not" in message
    criterions = REGISTRIES["criterion"]["registry"]
    for name in criterions:
        if not dataclass_of("criterion", name):
            cfg = {**settings, "criterion": {"_name": name, "wer_args": text}}
            assert f"the criterion {name!r}" in message_of(checked_settings, cfg, "X")
    for group in ("bpe", "tokenizer", "simul_type", "optimizer", "lr_scheduler", "scoring"):
        cfg = {**settings, group: {"_name": "evil"}}
        assert "'evil', which no model of fairseq_metro has" in message_of(
            checked_settings, cfg, "X"
        )
    assert not place.exists()


# What a hostile author would try, by name.
WAV2VEC2 = {"_name": "wav2vec2", "conv_feature_layers": "CODE", "extractor_mode": "default"}
FCONV = {"_name": "fconv", "encoder_layers": "CODE", "decoder_layers": "CODE"}


@pytest.mark.parametrize("model", [WAV2VEC2, FCONV], ids=["wav2vec2", "fconv"])
@pytest.mark.parametrize("task", [*OWN_TASKS, "language_modeling", "translation"])
def test_no_door_builds_what_a_checkpoint_names(model, task, forge, canary):
    text, place = canary

    def change(cfg):
        cfg["model"] = {key: text if value == "CODE" else value for key, value in model.items()}
        cfg["task"] = {"_name": task, "data": text}

    folder = forge(change)
    for door in (fairseq_metro.load, opened_by_stock, read_model, load_mask_model):
        assert "not one of fairseq_metro's" in message_of(door, folder)
    assert "hf_t5" in message_of(read_run, folder)
    assert not place.exists()


def refused_by_command(words):
    """The one line of a command that must end with status 1 and no traceback."""
    done = spawn(words)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.fixture
def hostile(forge, canary):
    """(folder of a run whose model runs code when it is built, the file that this would make)."""
    text, place = canary
    return forge(lambda cfg: cfg.update(model={**WAV2VEC2, "conv_feature_layers": text})), place


def test_predict_and_interactive_refuse_a_strangers_model_in_one_line(hostile):
    folder, place = hostile
    assert "'wav2vec2'" in message_of(predict.main, [str(folder), "--input", "a text"])
    last = str(folder / "checkpoint_last.pt")
    words = [
        f"{BIN}/fairseq-interactive",
        str(folder),
        PLUGIN,
        "--task=t5",
        "--path",
        last,
        "--cpu",
    ]
    assert "names the model 'wav2vec2'" in refused_by_command(words)
    assert not place.exists()


@pytest.mark.slow
def test_every_command_refuses_a_strangers_model_in_one_line(hostile):
    folder, place = hostile
    last, metro = str(folder / "checkpoint_last.pt"), f"{BIN}/fairseq-metro"
    for words in (
        [metro, "predict", str(folder), "--input", "a text"],
        [metro, "evaluate", str(folder), "--tasks", str(folder), "--out", f"{folder}/out"],
        [metro, "export", str(folder), "--out", f"{folder}/out"],
        [metro, "export-hf", str(folder), "--out", f"{folder}/out"],
        [f"{BIN}/fairseq-validate", str(folder), PLUGIN, "--task=t5", "--path", last, "--cpu"],
    ):
        assert refused_by_command(words)
    assert not place.exists()


# Fields, values, paths


@pytest.mark.parametrize(
    ("group", "changes", "expected"),
    [
        ("model", {"unheard_of": 1}, "a field 'unheard_of', which it does not have"),
        (
            "model",
            {"embed_dim": "[].append(1)"},
            "embed_dim = '[].append(1)', which is not a value",
        ),
        ("model", {"embed_dim": [1, 2]}, "embed_dim = [1, 2], which is not a value"),
        ("model", {"soft_prompt_tokens": "3"}, "soft_prompt_tokens = '3', which is not"),
        ("task", {"mask_prob": "much"}, "mask_prob = 'much', which is not a value"),
        ("task", {"recipe": "mine"}, "recipe = 'mine', which is not a value"),
        ("task", {"seed": {"a": 1}}, "which is not a value"),
        ("task", {"_name": ["t5"]}, "the task ['t5'], which is not one"),
        ("task", {"data": "${oc.env:HOME}"}, "the interpolation '${oc.env:HOME}'"),
        ("common", {"seed": "${now:%Y}"}, "the interpolation"),
        ("task", {"vocab": "\x1b[31mred\nline"}, None),
        ("model", {"\x1b[31m\n": 1}, r"a field '\x1b[31m\n', which"),
        ("model", {"embed_dim": b"16"}, "holds a bytes, must be plain values"),
        ("model", {7: 1}, "a key of its configuration is 7"),
    ],
)
def test_a_field_or_value_that_is_not_the_classs_is_one_line(group, changes, expected, settings):
    cfg = {**settings, group: {**settings[group], **changes}}
    if expected is None:
        assert checked_settings(cfg, "X")[group]["vocab"] == ""
        return
    assert expected in message_of(checked_settings, cfg, "X")


def test_deep_or_foreign_configurations_are_one_line(settings):
    nested = []
    for _ in range(5000):
        nested = [nested]
    for cfg, expected in (
        ({**settings, "common": {"a": nested}}, "nested too deeply"),
        ({**settings, "model": "wav2vec2"}, "model of its configuration is no dict"),
        ({**settings, "model": {"_name": None}}, "the model None"),
        ("text", "is no dict"),
    ):
        assert expected in message_of(checked_settings, cfg, "X")


def test_every_text_field_of_ours_is_known_to_be_a_path_or_not():
    """A new option that names a file belongs into PATHS, another into NOT_PATHS above."""
    own_models = [name for name in MODEL_REGISTRY if dataclass_of("model", name)]
    for group, names in (("task", OWN_TASKS), ("model", own_models)):
        for name in names:
            for field in dataclasses.fields(dataclass_of(group, name)):
                if field.type in (str, "str") or "Any" in str(field.type):
                    known = field.name in {*PATHS, NAME_OR_PATH} or field.name in NOT_PATHS
                    assert known, f"{group} {name}: {field.name}"


WATCHED = []


def _audit(event, arguments):
    watched = WATCHED and event in ("open", "os.mkdir", "os.listdir", "os.scandir", "import")
    if watched and any("forbidden" in str(argument) for argument in arguments):
        WATCHED[0].append((event, str(arguments[0])))


sys.addaudithook(_audit)


def test_no_path_inside_a_checkpoint_is_followed_imported_or_written(
    run, settings, forge, tmp_path
):
    place = tmp_path / "forbidden"
    place.mkdir()
    (place / "__init__.py").write_text("raise SystemExit('imported')\n")
    (place / "dict.txt").write_text("a 1\n")
    texts = [
        (group, name)
        for group in ("task", "model", "common", "checkpoint", "dataset")
        for name, value in settings[group].items()
        if name != "_name" and (isinstance(value, str) or name in {"user_dir", *PATHS})
    ]
    assert ("common", "user_dir") in texts and ("task", "data") in texts
    for group, name in texts:
        folder = forge(lambda cfg, group=group, name=name: cfg[group].update({name: str(place)}))
        doors = (fairseq_metro.load, opened_by_stock, read_model)
        for door in doors if group in ("task", "model") else doors[:1]:
            seen = []
            WATCHED.append(seen)
            try:
                door(folder)
            except Exception as error:
                message = user_message(error)  # a field with choices, say
                assert message and "\n" not in message, (group, name, error)
            finally:
                WATCHED.clear()
            assert not seen, (door, group, name, seen)
    assert sorted(path.name for path in place.iterdir()) == ["__init__.py", "dict.txt"]


def test_the_watch_sees_a_path_that_is_followed(tmp_path):
    seen = []
    WATCHED.append(seen)
    try:
        with pytest.raises(OSError):
            (tmp_path / "forbidden").read_bytes()
    finally:
        WATCHED.clear()
    assert seen


def test_a_name_of_a_file_is_no_few_shot_task(settings):
    cfg = {"_name": "fewshot_prompt", "fewshot_task": "sst2"}
    assert checked_group("task", cfg, "X")["fewshot_task"] == "sst2"
    assert checked_group("task", {**cfg, "fewshot_task": "/etc/x"}, "X")["fewshot_task"] == ""


@pytest.mark.parametrize(
    "arch", ["metro_t5_tiny --user-dir evil", "metro_t5_a\nb", "t5_transformer_"]
)
def test_an_architecture_that_is_several_words_is_not_begun_with(arch, forge):
    folder = forge(lambda cfg: cfg["model"].update(_name=arch))
    (folder / "vocab").unlink()
    (folder / "vocab").mkdir()
    with pytest.raises(UserError, match="is none to fine-tune"):
        starting_model(folder)
