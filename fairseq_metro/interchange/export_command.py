"""The command line of an export to a Hugging Face folder."""

import argparse
import logging
from pathlib import Path

from fairseq_metro.logs import messages_on_stderr

logger = logging.getLogger(__name__)

FORMATS = {"auto": None, "safetensors": True, "bin": False}


@messages_on_stderr()
def export_command(description, read_run, write_folder, argv=None):
    """Parse ``SOURCE --out FOLDER --format …`` and write the folder; returns the exit status.

    read_run(SOURCE) gives the model, write_folder(model, out, safetensors) writes it.
    """
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="a run's folder of ours, or one of its checkpoints")
    add("--out", required=True, type=Path, help="the folder to write")
    add("--format", choices=FORMATS, default="auto",
        help="safetensors: model.safetensors; bin: pytorch_model.bin; auto: the first if its "
             "package is installed (default)")  # fmt: skip
    args = parser.parse_args(argv)
    write_folder(read_run(args.source), args.out, FORMATS[args.format])
    logger.info("%s: written", args.out)
    return 0
