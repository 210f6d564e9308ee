"""What the exports of one kind of run to a Hugging Face folder share."""

import logging

from fairseq_metro.common.logs import messages_on_stderr

logger = logging.getLogger(__name__)

# --format: whether safetensors are written; None where they are installed.
FORMATS = {"auto": None, "safetensors": True, "bin": False}


@messages_on_stderr()
def export_command(parser, read_run, write_folder, argv=None):
    """Parse ``SOURCE --out FOLDER --format …`` and write the folder; returns the exit status.

    read_run(SOURCE) gives the model, write_folder(model, out, safetensors) writes it.
    """
    args = parser.parse_args(argv)
    write_folder(read_run(args.source), args.out, FORMATS[args.format])
    logger.info("%s: written", args.out)
    return 0
