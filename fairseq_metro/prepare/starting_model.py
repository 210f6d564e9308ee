"""The initial model of fine-tuning: run directory, vocabulary, and architecture to train.

``python -m fairseq_metro.prepare.starting_model RUN`` prints two lines: the folder that holds
``checkpoint_last.pt`` and ``vocab/``, and the name for ``--arch``.
"""

import re
import sys
from pathlib import Path

from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.trainer.checkpoints import LAST, read_facts
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER


def main(argv=None):
    words = sys.argv[1:] if argv is None else argv
    if len(words) != 1:
        raise UserError("give one folder: python -m fairseq_metro.prepare.starting_model RUN")
    print(*starting_model(words[0]), sep="\n")
    return 0


def starting_model(run):
    """(folder with the checkpoint and its vocabulary, architecture to fine-tune) of a run.

    run: a run's folder or its ``checkpoints``. The auxiliary model is left behind, so METRO-T5's
    ``metro_t5_tiny`` becomes ``t5_transformer_tiny``. Raises :class:`UserError`.
    """
    places = [Path(run), Path(run) / "checkpoints"]
    folder = next((place for place in places if (place / LAST).is_file()), None)
    if folder is None:
        raise UserError(f"{run}: no {LAST} in this folder, nor in its checkpoints/; name a run")
    if not (folder / VOCAB_FOLDER).is_dir():
        raise UserError(f"{folder}: no {VOCAB_FOLDER}/ beside {LAST}; copy the run's there")
    name = str(read_facts(folder / LAST)["arch"] or "")
    if not re.fullmatch(r"(metro_t5|t5_transformer|hf_t5)_\w+", name, re.ASCII):
        raise UserError(
            f"{folder / LAST}: architecture {name!a} is none to fine-tune; name a run of "
            "metro_t5_*, t5_transformer_* or hf_t5_*"
        )
    return folder, name.replace("metro_t5_", "t5_transformer_", 1)


if __name__ == "__main__":
    sys.exit(run_command(main))
