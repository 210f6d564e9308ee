"""A UserError is its message alone and status 1, in every kind of process that fairseq has.

The cases run ``fairseq-train`` and ``fairseq-hydra-train`` with a plugin of their own that raises
at a chosen place. One process imports fairseq and forks for each case (an import costs 4 seconds, a
case a fraction of one); what a fork prints and its status are a process's like any other's.
"""

import errno
import json
import os
import pickle
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fairseq_metro.common.errors import UserError, run_command, user_message

MESSAGE = "toy.txt: 3 is not a colour, must be red or blue; mend the file"

PLUGIN = """
import os
from dataclasses import dataclass

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.data import FairseqDataset
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from fairseq.tasks import FairseqTask, register_task

from fairseq_metro.common.errors import UserError, print_user_errors_as_one_line

print_user_errors_as_one_line()


def stumble(here):
    kind, _, place = os.environ.get("STUMBLE", "").partition(" in ")
    if place == here:
        raise {"user": UserError, "other": KeyError}[kind](os.environ["MESSAGE"])


class ToyDataset(FairseqDataset):
    sizes = [1] * 8

    def __len__(self):
        return 8

    def __getitem__(self, index):
        stumble("dataset")
        return index

    def num_tokens(self, index):
        return 1

    size = num_tokens

    def collater(self, samples):
        x = torch.ones(len(samples), 2)
        return {"net_input": {"x": x}, "nsentences": len(samples), "ntokens": len(samples)}


@dataclass
class ToyConfig(FairseqDataclass):
    pass


@register_task("toy", dataclass=ToyConfig)
class ToyTask(FairseqTask):
    @classmethod
    def setup_task(cls, cfg, **kwargs):
        stumble("task")
        return cls(cfg)

    source_dictionary = target_dictionary = None

    def load_dataset(self, split, **kwargs):
        self.datasets[split] = ToyDataset()


@register_model("toy", dataclass=ToyConfig)
class ToyModel(BaseFairseqModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    @classmethod
    def build_model(cls, cfg, task):
        return cls()

    def forward(self, x):
        return self.layer(x)

    def upgrade_state_dict_named(self, state_dict, name):
        stumble("load_state_dict")

    def max_positions(self):
        return 9


@register_criterion("toy", dataclass=ToyConfig)
class ToyCriterion(FairseqCriterion):
    def forward(self, model, sample, reduce=True):
        loss = model(**sample["net_input"]).square().sum()
        n = sample["nsentences"]
        return loss, n, {"loss": loss.data, "nsentences": n, "ntokens": n, "sample_size": n}

    @staticmethod
    def reduce_metrics(logging_outputs):
        pass

    @staticmethod
    def logging_outputs_can_be_summed():
        return True
"""

DRIVER = """
import json, os, sys, time


def rank_of_a_spawn(rank):
    from fairseq_metro.common.errors import UserError

    if rank == 1:
        def stumble():
            raise {"user": UserError, "other": KeyError}[os.environ["KIND"]](os.environ["MESSAGE"])

        stumble()
    time.sleep(60)


def spawn():
    import torch.multiprocessing
    from fairseq_metro.common.errors import print_user_errors_as_one_line

    print_user_errors_as_one_line()
    torch.multiprocessing.spawn(rank_of_a_spawn, nprocs=2)


def main():
    import fairseq_cli.train  # before Hydra's, which would set up logging in another way
    import fairseq_cli.hydra_train
    import torch._dynamo  # by the first optimizer otherwise, in each fork

    commands = {
        "fairseq-train": fairseq_cli.train.cli_main,
        "fairseq-hydra-train": fairseq_cli.hydra_train.cli_main,
        "spawn": spawn,
    }
    with open("cases.json") as stream:
        cases = json.load(stream)
    for name, (arguments, environment) in cases.items():
        child = os.fork()
        if child == 0:
            for number, ending in ((1, ".out"), (2, ".err")):
                os.dup2(os.open(name + ending, os.O_WRONLY | os.O_CREAT, 0o600), number)
            os.environ.update(environment)
            sys.argv = arguments
            return commands[arguments[0]]()  # an exception leaves main() as in any program
        _, status = os.waitpid(child, 0)
        with open(name + ".status", "w") as stream:
            stream.write(str(os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    main()
"""

TRAIN = [
    "fairseq-train", "--user-dir", "toy_plugin", "--task", "toy", "--arch", "toy", "--criterion",
    "toy", "--optimizer", "adam", "--lr", "0.1", "--batch-size", "2", "--max-update", "3",
    "--log-format", "none", "--disable-validation",
]  # fmt: skip
HYDRA = ["fairseq-hydra-train", "--config-dir", "conf", "--config-name", "toy"]
CONFIG = """
common: {user_dir: PLUGIN, log_format: none}
task: {_name: toy}
model: {_name: toy}
criterion: {_name: toy}
optimizer: {_name: adam}
lr_scheduler: {_name: fixed}
dataset: {batch_size: 2, disable_validation: true}
optimization: {max_update: 1, lr: [0.1]}
checkpoint: {no_save: true}
"""
TRACEBACK = {"FAIRSEQ_METRO_TRACEBACK": "1"}
NO_SAVE = [*TRAIN, "--no-save"]

CASES = {
    "save": (TRAIN, {}),  # for load_state_dict, below
    "main": (NO_SAVE, {"STUMBLE": "user in task"}),
    "main-traceback": (NO_SAVE, {"STUMBLE": "user in task", **TRACEBACK}),
    "main-other": (NO_SAVE, {"STUMBLE": "other in task"}),
    "thread": ([*NO_SAVE, "--num-workers", "0"], {"STUMBLE": "user in dataset"}),
    "worker": ([*NO_SAVE, "--num-workers", "1"], {"STUMBLE": "user in dataset"}),
    "worker-traceback": (
        [*NO_SAVE, "--num-workers", "1"],
        {"STUMBLE": "user in dataset", **TRACEBACK},
    ),
    "load": (TRAIN, {"STUMBLE": "user in load_state_dict"}),
    "load-other": (TRAIN, {"STUMBLE": "other in load_state_dict"}),
    "rank": (["spawn"], {"KIND": "user"}),
    "rank-other": (["spawn"], {"KIND": "other"}),
    "hydra": (HYDRA, {"STUMBLE": "user in task"}),
    "hydra-worker": ([*HYDRA, "dataset.num_workers=1"], {"STUMBLE": "user in dataset"}),
    "hydra-traceback": (HYDRA, {"STUMBLE": "user in task", **TRACEBACK}),
    "hydra-other": (HYDRA, {"STUMBLE": "other in task"}),
    "hydra-fine": (HYDRA, {}),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """{case: (exit status, what it printed to standard error)}"""
    folder = tmp_path_factory.mktemp("errors")
    (folder / "toy_plugin").mkdir()
    (folder / "toy_plugin" / "__init__.py").write_text(PLUGIN)
    (folder / "conf").mkdir()
    (folder / "conf" / "toy.yaml").write_text(CONFIG.replace("PLUGIN", str(folder / "toy_plugin")))
    (folder / "driver.py").write_text(DRIVER)
    (folder / "cases.json").write_text(json.dumps(CASES))
    environment = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    environment |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
        "MESSAGE": MESSAGE,
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent),
    }
    subprocess.run(
        [sys.executable, "driver.py"], cwd=folder, env=environment, check=True, timeout=240
    )
    return {
        name: (int((folder / f"{name}.status").read_text()), (folder / f"{name}.err").read_text())
        for name in CASES
    }


LOG = re.compile(r"W\d{4} |DEBUG:")  # torch on stopping the other ranks; Hydra before it starts


def assert_message_alone(status, stderr):
    assert status == 1
    assert [x for x in stderr.splitlines() if not LOG.match(x)] == [f"error: {MESSAGE}"]


@pytest.mark.parametrize(
    "case", ["main", "thread", "worker", "load", "rank", "hydra", "hydra-worker"]
)
def test_a_user_error_is_its_message_alone_and_status_1(outcomes, case):
    assert_message_alone(*outcomes[case])


@pytest.mark.parametrize("case", ["main-traceback", "worker-traceback", "hydra-traceback"])
def test_the_traceback_comes_too_when_asked_for(outcomes, case):
    status, printed = outcomes[case]
    assert status == 1
    assert "Traceback" in printed and "in stumble" in printed
    assert printed.splitlines()[-1] == f"error: {MESSAGE}"


@pytest.mark.parametrize("case", ["main-other", "load-other", "rank-other", "hydra-other"])
def test_any_other_error_keeps_its_traceback(outcomes, case):
    status, printed = outcomes[case]
    assert status == 1
    assert "Traceback" in printed and "in stumble" in printed
    assert f"KeyError: '{MESSAGE}'" in printed
    assert "error: toy.txt" not in printed


def test_hydra_reports_other_errors_in_its_own_way(outcomes):
    printed = outcomes["hydra-other"][1]
    assert "Error executing job with overrides: []" in printed
    assert "Set the environment variable HYDRA_FULL_ERROR=1" in printed


@pytest.mark.parametrize("case", ["save", "hydra-fine"])
def test_a_run_without_an_error_ends_with_status_0(outcomes, case):
    status, printed = outcomes[case]
    assert status == 0, printed


def test_the_installed_fairseq_train_prints_the_message_too(tmp_path):
    (tmp_path / "toy_plugin").mkdir()
    (tmp_path / "toy_plugin" / "__init__.py").write_text(PLUGIN)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
        "STUMBLE": "user in task",
        "MESSAGE": MESSAGE,
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent),
    }
    program = Path(sys.executable).with_name("fairseq-train")
    if not program.exists():
        pytest.skip("fairseq-train is not beside this Python")
    done = subprocess.run(
        [program, *NO_SAVE[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert_message_alone(done.returncode, done.stderr)


# The class, the search for it behind another error, console commands


def raised_during(inner, outer, **how):
    """``outer`` as it comes out of a handler of ``inner``; ``cause=``: what it is raised from."""
    try:
        try:
            raise inner
        except Exception:
            if how:
                raise outer from how["cause"]
            raise outer  # noqa: B904  as fairseq's trainer does
    except Exception as error:
        return error


def test_the_message_is_found_behind_causes_and_bare_exceptions():
    error = UserError("a\n  b")
    assert user_message(error) == "a b"
    assert user_message(raised_during(error, RuntimeError("x"), cause=error)) == "a b"
    assert user_message(raised_during(error, Exception("Cannot load"))) == "a b"
    twice = raised_during(raised_during(error, Exception("x")), Exception("y"))
    assert user_message(twice) == "a b"


READER = "DataLoader worker (pid(s) 27064) exited unexpectedly"
RANK = (
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer "
    "[127.0.0.1]:2433. This is typically caused by a remote worker crashing. GLHF!"
)


@pytest.mark.parametrize(
    "error, said",
    [
        (RuntimeError(READER), f"{READER}: a process that reads data was lost"),
        (RuntimeError(RANK), "another process of this run was lost (Connection closed by peer ["),
        (PermissionError(errno.EACCES, "Permission denied", "saved/dummy"), "saved/dummy: permission"),
        (OSError(errno.EFBIG, "File too large"), "a file: file too large; free space"),
        (RuntimeError("another one"), None),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), None),
        (KeyError(READER), None),
    ],
)  # fmt: skip
def test_what_happens_to_a_machine_is_one_line_too(error, said):
    for found in (user_message(error), user_message(raised_during(error, Exception("x")))):
        assert found is None if said is None else found.startswith(said) and "\n" not in found


def test_a_defect_in_a_handler_is_not_hidden_by_the_error_it_handles():
    assert user_message(raised_during(UserError("a"), KeyError("bug"))) is None
    assert user_message(raised_during(UserError("a"), Exception("x"), cause=None)) is None
    assert user_message(ValueError("a UserError: in the middle of a line")) is None
    assert user_message(KeyboardInterrupt()) is None


def test_a_quoted_traceback_gives_the_original_message():
    text = textwrap.dedent("""\
        Caught UserError in DataLoader worker process 0.
        Original Traceback (most recent call last):
          File "x.py", line 3, in __getitem__
            raise UserError("ignored")
        fairseq_metro.common.errors.UserError: corpus: empty; give another
        """)
    assert str(UserError(text)) == "corpus: empty; give another"


def test_a_user_error_survives_pickling():
    assert str(pickle.loads(pickle.dumps(UserError("a: b")))) == "a: b"


def run(error, monkeypatch, traceback="0"):
    monkeypatch.setenv("FAIRSEQ_METRO_TRACEBACK", traceback)

    def main(argv):
        raise error

    return run_command(main, [])


def test_a_console_command_ends_with_one_line_and_status_1(monkeypatch, capsys):
    assert run(UserError("a: b"), monkeypatch) == 1
    assert capsys.readouterr().err == "error: a: b\n"
    with pytest.raises(KeyError):
        run(KeyError("x"), monkeypatch)
    with pytest.raises(UserError):
        run(UserError("a: b"), monkeypatch, traceback="1")


def test_an_interrupted_console_command_says_how_to_go_on(monkeypatch, capsys):
    assert run(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == "interrupted; run the same command again to go on\n"


def test_a_message_is_printable_and_fits_a_screen():
    assert (
        str(UserError("\x1b[31mred\x1b[0m: no\nsuch\tfile")) == r"\x1b[31mred\x1b[0m: no such file"
    )
    assert str(UserError("a\ud800b")) == r"a\ud800b" and str(UserError("été, 文")) == "été, 文"
    message = str(UserError(f"file: value {'9' * 100_000} is too long; shorten it"))
    assert message.startswith("file: value 999") and message.endswith("is too long; shorten it")
    assert len(message) < 2100
