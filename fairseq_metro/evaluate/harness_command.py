"""lm-evaluation-harness with our models in it: all of its commands and options.

  fairseq-metro lm-eval RUN --tasks hellaswag,piqa [the harness's options]
  fairseq-metro lm-eval run --model fairseq_metro --model_args pretrained=RUN,score_eos=False ...

The first form is the second with --model and --model_args filled in. RUN is a run's folder, one of its
checkpoints, or a Hugging Face folder that we read; see fairseq_metro.evaluate.harness for the
arguments of the model.
"""

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

from fairseq_metro.common.errors import UserError


def main(argv=None):
    words = list(sys.argv[1:] if argv is None else argv)
    there = find_spec("lm_eval") is not None
    if words and words[0] in ("-h", "--help"):
        print(__doc__)
        if not there:
            return 0
        words = ["--help"]
    if not there:
        raise UserError(
            "lm-evaluation-harness is not installed; pip install 'lm_eval>=0.4.9,<0.5' (it brings "
            "datasets, pyarrow and others, 300 MB)"
        )
    importlib.import_module("fairseq_metro.evaluate.harness")
    sys.argv = ["lm-eval", *harness_words(words)]
    try:
        importlib.import_module("lm_eval.__main__").cli_evaluate()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def harness_words(words):
    """The harness's own words of ours.

    >>> harness_words(["runs/mine", "--tasks", "piqa"])
    ['run', '--model', 'fairseq_metro', '--model_args', 'pretrained=runs/mine', '--tasks', 'piqa']
    >>> harness_words(["ls", "tasks"])
    ['ls', 'tasks']
    """
    if not words or words[0].startswith("-"):
        return words
    if words[0] in ("run", "ls", "validate") and not Path(words[0]).exists():
        return words
    source = ["--model", "fairseq_metro", "--model_args", f"pretrained={words[0]}"]
    return ["run", *source, *words[1:]]
