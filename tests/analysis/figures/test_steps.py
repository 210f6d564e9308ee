"""Figures 6, 7 and 3b over real checkpoints of tiny runs, on text and on prompted pairs."""

import shutil

import pytest
import torch

from fairseq_metro.analysis.figures.command import main
from fairseq_metro.analysis.figures.steps import Step, load_step, steps_of
from fairseq_metro.common.errors import UserError
from tests import prompted
from tests.analysis.figures.samples import figure
from tests.tasks.conftest import corpus, data, vocabulary  # noqa: F401  fixtures
from tests.training import call, command

SAVING = ["--save-interval-updates=2", "--validate-interval-updates=1000", "--max-update=4"]
FEW = ["--batches", 2, "--max-tokens", 128, "--device", "cpu"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):  # noqa: F811
    """A METRO-T5 run and a T5 run, each with its checkpoints of updates 2 and 4."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("metro_t5", "t5")}
    call("train", command(data, folders["metro_t5"], *SAVING))
    words = ["--task=t5", "--criterion=t5", *SAVING]
    call("train", command(data, folders["t5"], *words, architecture="t5_transformer_tiny"))
    return folders


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, data):  # noqa: F811
    return prompted.folder(tmp_path_factory.mktemp("pairs") / "data", data / "vocab")


def words_of(runs):
    return [f"METRO-T5={runs['metro_t5']}", f"T5={runs['t5']}"]


def test_a_runs_steps_are_its_start_and_its_checkpoints_once_each(runs):
    found = steps_of(words_of(runs))
    assert [(step.label, step.update, step.start) for step in found] == [
        (label, update, update == 0) for label in ("METRO-T5", "T5") for update in (0, 2, 4)
    ]
    assert [step.update for step in steps_of(words_of(runs), [4, 0])] == [0, 4, 0, 4]


def test_the_start_built_anew_is_the_model_that_the_run_began_with(tmp_path, data):  # noqa: F811
    """A run that learns at rate 0 keeps its first parameters, bit by bit."""
    call("train", command(data, tmp_path, "--max-update=1", "--lr=0"))
    (start, kept) = steps_of([str(tmp_path)])
    assert (start.update, start.start, kept.update) == (0, True, 1)
    states = [load_step(step, whole=True)[0].state_dict() for step in (start, kept)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("kind", ["text", "pairs"])
def test_figures_6_and_7_have_every_run_and_step(tmp_path, runs, data, pairs, kind):  # noqa: F811
    folder = data if kind == "text" else pairs
    rows = figure("neurons", tmp_path / "n.png", *words_of(runs), "--data", folder, *FEW)
    expected = [(run, str(u)) for run in ("METRO-T5", "T5") for u in (0, 2, 4)]
    assert list(dict.fromkeys((row["run"], row["update"]) for row in rows)) == expected
    assert len(rows) == 6 * (3 + 4)  # both, each stack, two layers of each
    for row in rows:
        assert 0 <= float(row["share"]) <= 1 and int(row["tokens"]) > 20
    if kind == "pairs":  # the same pairs for both
        assert len({row["tokens"] for row in rows if row["stack"] == "all"}) == 1

    rows = figure("sensitivity", tmp_path / "s.png", *words_of(runs), "--data", folder, *FEW)
    assert list(dict.fromkeys((row["run"], row["update"]) for row in rows)) == expected
    for run, update in expected:
        mine = [row for row in rows if (row["run"], row["update"]) == (run, update)]
        assert sum(float(row["density"]) for row in mine) * 0.1 == pytest.approx(1, abs=1e-3)
    assert len({row["parameters"] for row in rows}) == 1  # main models of one size


def test_how_often_a_neuron_may_be_active_is_an_option(tmp_path, runs, data):  # noqa: F811
    """Inactive for no token at all: every neuron. For each token: none that is ever active."""

    def under_activated(*words):
        rows = figure("neurons", tmp_path / "n.png", str(runs["t5"]), "--data", data, *FEW, *words)
        return [(int(row["under_activated"]), int(row["neurons"])) for row in rows]

    assert all(count == neurons for count, neurons in under_activated("--inactive", "0"))
    half, paper = under_activated("--inactive", "0.5"), under_activated()
    assert under_activated("--inactive", "0.995") == paper
    assert 0 < sum(count for count, _ in half) < sum(neurons for _, neurons in half)
    assert all(few <= many for (few, _), (many, _) in zip(paper, half, strict=True))
    assert paper != half


@pytest.mark.parametrize("value", ["99.5", "-0.1", "most", "1/0"])
def test_what_is_no_share_is_refused(value, capsys):
    with pytest.raises(SystemExit):
        main(["neurons", "run", "--data", "data", "--out", "n.png", "--inactive", value])
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"'{value}' is no share from 0 to 1, such as 0.995" in said


def test_recall_is_measured_where_there_is_no_log(tmp_path, runs, data):  # noqa: F811
    words = [f"ours={runs['metro_t5']}", "--data", data, *FEW]
    rows = figure("rtd-recall", tmp_path / "r.png", *words)
    assert [(row["run"], row["update"]) for row in rows] == [("ours", u) for u in "024"]
    assert all(0 <= float(row["rtd_recall"]) <= 1 for row in rows)
    # The RTD head begins at p = 0.5 for every token: it says "replaced" of all of them.
    assert float(rows[0]["rtd_recall"]) == 1 and float(rows[0]["rtd_auc"]) == 0.5


def test_a_checkpoint_that_is_not_there_is_one_line(runs):
    with pytest.raises(UserError, match="no checkpoint of update 3; it has those of 0, 2, 4"):
        steps_of([str(runs["t5"])], [3])


def test_a_truncated_checkpoint_is_left_out(tmp_path, runs):
    folder = shutil.copytree(runs["t5"], tmp_path / "run")
    (folder / "checkpoint_1_2.pt").write_bytes(b"PK\x03\x04 cut")
    assert [step.update for step in steps_of([str(folder)])] == [0, 4]


def test_one_file_is_one_step(runs):
    path = runs["t5"] / "checkpoint_last.pt"
    assert steps_of([f"x={path}"]) == [Step("x", 4, path)]
