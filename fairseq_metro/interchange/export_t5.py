"""Export a hf_t5 model of ours as a Hugging Face folder, which their T5 classes load."""

from fairseq_metro.interchange import options
from fairseq_metro.interchange.export_command import export_command
from fairseq_metro.interchange.hf_t5 import read_run, write_folder


def main(argv=None):
    return export_command(options.export_t5(), read_run, write_folder, argv)
