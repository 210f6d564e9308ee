"""Export a hf_t5 model of ours as a Hugging Face folder, which their T5 classes load.

It holds config.json, float32 weights, spiece.model and tokenizer_config.json. Ids are T5's own again
where the model was imported.
"""

from fairseq_metro.interchange.export_command import export_command
from fairseq_metro.interchange.hf_t5 import read_run, write_folder


def main(argv=None):
    return export_command(__doc__, read_run, write_folder, argv)
