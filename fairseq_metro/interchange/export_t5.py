"""Export a hf_t5 model of ours as a Hugging Face folder, which their T5 classes load.

It holds config.json, float32 weights, spiece.model and tokenizer_config.json. Ids are T5's own again
where the model was imported.
"""

import argparse
import logging
import sys
from pathlib import Path

from fairseq_metro.interchange.hf_t5 import read_run, write_folder

logger = logging.getLogger(__name__)

FORMATS = {"auto": None, "safetensors": True, "bin": False}


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="export_t5.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="a run's folder of ours, or one of its checkpoints")
    add("--out", required=True, type=Path, help="the folder to write")
    add("--format", choices=FORMATS, default="auto",
        help="safetensors: model.safetensors; bin: pytorch_model.bin; auto: the first if its "
             "package is installed (default)")  # fmt: skip
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    write_folder(read_run(args.source), args.out, FORMATS[args.format])
    logger.info("%s: written", args.out)
    return 0
