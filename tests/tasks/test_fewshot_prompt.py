"""fairseq-train with --task fewshot_prompt: one run of the grid, by fairseq's own loop."""

import pytest

from fairseq_metro.common.errors import user_message
from fairseq_metro.criterions.fewshot_prompt import FewshotPromptCriterion
from fairseq_metro.evaluate.fewshot import training
from fairseq_metro.evaluate.fewshot.command import main
from fairseq_metro.evaluate.fewshot.scorers import WordScorer, set_dropout
from fairseq_metro.evaluate.fewshot.training import Schedule, fine_tune
from fairseq_metro.interchange.mask_models import load_mask_model
from fairseq_metro.interchange.model import HF_T5, MAIN, ROBERTA
from fairseq_metro.smash.examples import read_split
from fairseq_metro.smash.tasks import load_task
from fairseq_metro.tasks.fewshot_prompt import PromptedExamples
from tests import fewshot
from tests.training import QUIET, ROOT, call


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A run's folder of each kind."""
    folder = tmp_path_factory.mktemp("models")
    return {kind: fewshot.write_model(folder / kind, kind=kind) for kind in (ROBERTA, MAIN, HF_T5)}


@pytest.fixture(scope="module")
def model(models):
    return models[ROBERTA]


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return tmp_path_factory.mktemp("splits")


ARCHITECTURES = {
    ROBERTA: "roberta_mlm_tiny", MAIN: "t5_transformer_tiny", HF_T5: "hf_t5_small"
}  # fmt: skip


def train(folder, save_dir, *options, task="sst2", kind=ROBERTA):
    return call("train", [
        str(folder), f"--user-dir={ROOT / 'fairseq_metro'}", "--task=fewshot_prompt",
        f"--fewshot-task={task}", "--criterion=fewshot_prompt", f"--arch={ARCHITECTURES[kind]}",
        f"--save-dir={save_dir}", "--batch-size=4", "--cpu", "--num-workers=0",
        *fewshot.flags(kind),
        "--optimizer=fused_adam", "--lr=1e-2", "--lr-scheduler=polynomial_decay",
        "--total-num-update=6", "--max-update=6", "--clip-norm=1.0", "--dropout=0",
        "--attention-dropout=0", "--seed=13", *QUIET, *options,
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"), [("sst2", ROBERTA), ("stsb", ROBERTA), ("sst2", MAIN), ("stsb", HF_T5)]
)
def test_its_losses_are_those_of_the_grids_run(
    name, kind, models, splits, tmp_path, monkeypatch, capsys
):
    model = models[kind]
    task, folder = load_task(name), fewshot.split(splits, name)
    seen, forward = [], FewshotPromptCriterion.forward

    def recording(self, model, sample, reduce=True):
        if model.training:
            seen.append(sample["id"].tolist())
        return forward(self, model, sample, reduce)

    monkeypatch.setattr(FewshotPromptCriterion, "forward", recording)
    log = train(folder, tmp_path, f"--init-from={model}", task=name, kind=kind)
    loaded, tok, decoder_input = load_mask_model(model)
    set_dropout(loaded, 0.0)
    data, dev = (
        PromptedExamples.of_task(
            task, read_split(task, folder, split), tok, decoder_input=decoder_input
        )
        for split in ("train", "dev")
    )
    scorer, schedule = WordScorer(loaded, task.verbalizer(tok).ids), Schedule(1e-2, 4, 6, 6)
    # fairseq shuffles an epoch's batches once more: the grid's run is given its order.
    monkeypatch.setattr(training, "batches_of", lambda *_: iter(seen))
    found = fine_tune(scorer, task, data, dev, schedule)
    theirs = [float(loss) for _, loss in sorted(log.losses().items())]
    assert found.losses == pytest.approx(theirs, rel=2e-3, abs=2e-3)
    assert len(theirs) == 6
    # And the run's folder answers.
    text = read_split(task, folder, "dev")[0].sentences
    assert main(["predict", str(tmp_path), "--task", name, "--text", *text]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "task", "said"),
    [
        ([], "sst3", "no few-shot task 'sst3'"),
        (["--criterion=masked_lm_blocks"], "sst2", "is not for --task fewshot_prompt"),
        (["--arch=metro_t5_tiny"], "sst2", "asks for the word at a mask; give --arch roberta"),
    ],
)
def test_mistakes_are_one_line(options, task, said, model, splits, tmp_path):
    folder = fewshot.split(splits)
    with pytest.raises(Exception) as error:
        train(folder, tmp_path, f"--init-from={model}", *options, task=task)
    assert said in user_message(error.value)


@pytest.mark.parametrize("size", [2, 4, 5])
def test_batches_leave_no_row_out(size):
    rows = [[0, 7, 8, 2]] * 3 + [[0, 7, 8, 9, 9, 2]] * 8
    data = PromptedExamples(rows, [1] * 11, [0] * 11, pad=1, shuffle=True)
    batches = data.batch_by_size(
        data.ordered_indices(), max_sentences=size, required_batch_size_multiple=8
    )
    assert sorted(i for batch in batches for i in batch) == list(range(11))
    assert max(map(len, batches)) == size


def test_text_in_another_script_is_refused_unless_allowed(splits, model, tmp_path):
    folder = fewshot.split(splits)
    other = tmp_path / "split"
    other.mkdir()
    for path in folder.iterdir():
        text = path.read_text("utf-8")
        lines = text.split("\n") if path.suffix == ".tsv" else [text]
        head, *rest = lines
        rest = [f"日本語の文章です\t{line.partition(chr(9))[2]}" if line else "" for line in rest]
        (other / path.name).write_text("\n".join([head, *rest]), "utf-8")
    with pytest.raises(Exception) as error:
        train(other, tmp_path / "run", f"--init-from={model}")
    assert "100.00% of the characters are not in the vocabulary" in user_message(error.value)
    train(other, tmp_path / "run", f"--init-from={model}", "--allow-unknown", "--max-update=1")
