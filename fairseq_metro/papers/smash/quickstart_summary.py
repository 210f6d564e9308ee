"""The effect of SMASH on the quickstart's student: few-shot metric before, after, and the teacher's.

``python -m fairseq_metro.papers.smash.quickstart_summary RUN`` reads ``RUN/fewshot/*/cells.jsonl``
and the logs of the models; writes ``RUN/summary.json`` and ``RUN/bars.png``.
"""

import math
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from fairseq_metro.analysis.log import read_log
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import write_json
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.evaluate.fewshot.cells import (
    MAJORITY,
    MAJORITY_OF_TEST,
    PROMPT,
    ZERO_SHOT,
)
from fairseq_metro.evaluate.fewshot.grid import CELLS, read_cells
from fairseq_metro.evaluate.fewshot.report import chosen_on_dev
from fairseq_metro.papers.smash.quickstart_bars import draw_bars
from fairseq_metro.smash.tasks import load_task

BEFORE, AFTER, TEACHER = MODELS = "before", "after", "teacher"
TRAINED = "student", "teacher"  # by masked LM
CLEAR = 2  # standard errors


@dataclass(frozen=True)
class TaskScore:
    """One test of a task, all numbers times 100.

    guess: the metric of the majority baseline, guess_of: the name of its row, which says whose
    majority; prompt: model -> its metric after prompt fine-tuning on each split; zero_shot: model ->
    its metric without; rows: of the test.
    """

    test: str
    group: str
    metric: str
    labels: int
    guess: float
    rows: int
    k: int
    prompt: dict
    zero_shot: dict
    guess_of: str = MAJORITY

    def mean(self, model):
        """Mean over splits of a model's prompt fine-tuning."""
        return statistics.fmean(self.prompt[model])

    def gain(self, model, other):
        """(mean, standard error) of what ``model`` is ahead of ``other``, split by split.

        >>> of = {"after": [52.0, 55.0, 58.0], "before": [50.0, 50.0, 50.0]}
        >>> score = TaskScore("a", "b", "accuracy", 2, 50.0, 400, 16, of, {})
        >>> [round(number, 3) for number in score.gain("after", "before")]
        [5.0, 1.732]
        """
        ahead = [a - b for a, b in zip(self.prompt[model], self.prompt[other], strict=True)]
        spread = statistics.stdev(ahead) / math.sqrt(len(ahead)) if len(ahead) > 1 else math.inf
        return statistics.fmean(ahead), spread


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path,
        help="Run directory with fewshot/, student/ and teacher/.")  # fmt: skip
    return parser


def main(argv=None):
    args = parser().parse_args(argv)
    scores = read_scores(args.run)
    summary = summarize(scores, {name: read_log(args.run / name / "train.log") for name in TRAINED})
    write_json(args.run / "summary.json", summary)
    draw_bars(scores, args.run / "bars.png")
    sys.stdout.write(describe(scores, summary))
    print(f"written: {args.run / 'summary.json'}, {args.run / 'bars.png'}")
    return 0


def read_scores(run):
    """The :class:`TaskScore` of every test below ``run/fewshot``: list. Raises UserError."""
    scores = []
    for path in sorted((run / "fewshot").glob(f"*/{CELLS}")):
        cells = list(read_cells(path).values())
        for name in dict.fromkeys(cell["task"] for cell in cells):
            task_cells = [cell for cell in cells if cell["task"] == name]
            scores += [_score(run, name, task_cells, test) for test in load_task(name).tests]
    if not scores:
        raise UserError(f"{run}/fewshot: no finished runs; let the stage few-shot end first")
    return scores


def _score(run, name, cells, test):
    task, prompt, zero_shot = load_task(name), {}, {}
    for model in MODELS:
        for row, values in ((PROMPT, prompt), (ZERO_SHOT, zero_shot)):
            matching = [c for c in cells if c["row"] == row and role_of(c["model"]) == model]
            if not matching:
                raise UserError(f"{run}/fewshot: no row {row} of {name} with the model {model}")
            chosen = sorted(chosen_on_dev(matching), key=lambda cell: cell["seed"])
            values[model] = [100 * cell["test"][test]["value"] for cell in chosen]
    majority = [cell for cell in cells if cell["row"] in (MAJORITY, MAJORITY_OF_TEST)]
    if not majority:
        raise UserError(f"{run}/fewshot: no row {MAJORITY} of {name}")
    # A run of an earlier version may stand beside one of this version, whose row is the baseline.
    of_training = any(cell["row"] == MAJORITY for cell in majority)
    guess_of = MAJORITY if of_training else MAJORITY_OF_TEST
    guess = next(cell["test"][test] for cell in majority if cell["row"] == guess_of)
    return TaskScore(
        test, task.group, task.metric, len(task.labels), 100 * (guess["value"] or 0.0),
        guess["rows"], cells[0]["k"], prompt,
        {model: statistics.fmean(values) for model, values in zero_shot.items()}, guess_of,
    )  # fmt: skip


def role_of(model):
    """Whose a run's folder is: before, after (the student's distillation) or teacher.

    >>> [role_of(path) for path in ("runs/1/student", "runs/1/smash-sentence_pair", "a/teacher")]
    ['before', 'after', 'teacher']
    """
    name = Path(model).name
    return AFTER if name.startswith("smash-") else BEFORE if name == "student" else name


def summarize(scores, logs):
    """The numbers of ``summary.json``; logs: {"student", "teacher": analysis.log.Log}."""
    means = {model: statistics.fmean(score.mean(model) for score in scores) for model in MODELS}
    return {
        "means": {"guess": statistics.fmean(score.guess for score in scores), **means},
        "tests": [_told(score) for score in scores],
        "parameters": {name: log.parameters for name, log in logs.items()},
        "updates": {name: log.valid[-1].update if log.valid else 0 for name, log in logs.items()},
        "masked_lm_loss": {
            name: log.valid[-1].values.get("loss") if log.valid else None
            for name, log in logs.items()
        },
        "seed": logs["student"].seed,
        "stamp": make_stamp(),
    }


def _told(score):
    gain, error = score.gain(AFTER, BEFORE)
    return {
        **asdict(score),
        "means": {model: score.mean(model) for model in MODELS},
        "gain": gain,
        "gain_error": error if math.isfinite(error) else None,
    }


def describe(scores, summary):
    """The table and the verdict, as text."""
    width = max(len(score.test) for score in scores)
    first = scores[0]
    splits = len(first.prompt[BEFORE])
    lines = [
        f"Prompt fine-tuning on {first.k} examples a label, means over {splits} splits, times 100; "
        "zero-shot in brackets.",
        "",
        f"{'':{width}}  guess  {'before':>13}  {'after SMASH':>13}  {'teacher':>13}",
    ]
    for score in scores:
        figures = [f"{score.mean(m):5.1f} ({score.zero_shot[m]:5.1f})" for m in MODELS]
        lines.append(
            f"{score.test:{width}}  {score.guess:5.1f}  " + "  ".join(f"{t:>13}" for t in figures)
        )
    of_test = [score.test for score in scores if score.guess_of == MAJORITY_OF_TEST]
    lines += ["", "guess: the commonest label of the training set, said of every test row."]
    if of_test:
        lines.append(f"No training set was at hand for {', '.join(of_test)}: the test's own label.")
    return "\n".join([*lines, "", *verdict(scores, summary)]) + "\n"


def verdict(scores, summary):
    """The conclusions as sentences; nothing is said about what was not measured."""
    sizes = summary["parameters"]
    sentences = []
    if all(sizes.values()):
        sentences.append(
            f"Teacher {sizes['teacher']:,} parameters, student {sizes['student']:,}: "
            f"{sizes['teacher'] / sizes['student']:.1f} times."
        )
    lame = [score.test for score in scores if not teaches(score)]
    if lame:
        sentences.append(
            f"The teacher is NOT clearly ahead of guessing or not ahead of the student on "
            f"{', '.join(lame)}: there it has nothing to teach."
        )
    for score in scores:
        gain, error = score.gain(AFTER, BEFORE)
        clear = abs(gain) > CLEAR * error
        word = "more" if gain >= 0 else "LESS"
        by = f" ± {error:.1f}" if math.isfinite(error) else ""
        sentences.append(
            f"{score.test}: {abs(gain):.1f}{by} {word} after distillation, "
            f"{'clearly' if clear else 'NOT clearly: within two standard errors over splits'}."
        )
    return sentences


def teaches(score):
    """Whether the teacher is clearly above guessing and above the student, few-shot."""
    spread = statistics.stdev(score.prompt[TEACHER]) if len(score.prompt[TEACHER]) > 1 else math.inf
    error = spread / math.sqrt(len(score.prompt[TEACHER]))
    ahead = score.mean(TEACHER) - score.guess
    return ahead > CLEAR * error and score.mean(TEACHER) > score.mean(BEFORE)


if __name__ == "__main__":
    sys.exit(run_command(main))
