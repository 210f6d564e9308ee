"""Import RoBERTa or DistilRoBERTa: a run's folder of ours that fairseq loads.

SOURCE is a local Hugging Face folder (config.json, model.safetensors or pytorch_model.bin, or several
files and their index, and its tokenizer), or a checkpoint of fairseq's own RoBERTa, with its dict.txt
beside. The folder written holds checkpoint_last.pt and vocab/; train it further with
--arch roberta_mlm_base (or its size) --init-from OUT, data made with OUT/vocab.
"""

import argparse
import logging
import tempfile
from pathlib import Path

from fairseq_metro.interchange.roberta import read_any, vocabulary_of
from fairseq_metro.interchange.run_folder import write_run_folder
from fairseq_metro.logs import messages_on_stderr

logger = logging.getLogger(__name__)


@messages_on_stderr()
def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="the Hugging Face folder, or fairseq's checkpoint")
    add("--out", required=True, type=Path, help="the run's folder to write")
    add("--tokenizer", type=Path,
        help="folder of the tokenizer of fairseq's checkpoint: GPT-2's encoder.json and vocab.bpe, "
             "or vocab.json and merges.txt, or a vocabulary of ours (default: beside it)")  # fmt: skip
    add("--heads", type=int, help="attention heads, where fairseq's checkpoint does not say")
    args = parser.parse_args(argv)
    import_roberta(args.source, args.out, args.tokenizer, args.heads)
    return 0


def import_roberta(source, out, tokenizer=None, heads=None):
    """Write the run's folder ``out``; return the path of its checkpoint."""
    with tempfile.TemporaryDirectory() as scratch:
        model = read_any(source, scratch, tokenizer, heads)
        vocabulary_of(model)
        path = write_run_folder(model, out)
    config = model.config
    logger.info(
        "%s: RoBERTa with %d layers, width %d, %d positions; %s parameters", path,
        config["encoder_layers"], config["embed_dim"], config["max_positions"],
        f"{sum(value.numel() for value in model.state.values()):,}",
    )  # fmt: skip
    return path
