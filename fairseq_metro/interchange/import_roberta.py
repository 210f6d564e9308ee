"""Import RoBERTa or DistilRoBERTa: a run's folder of ours that fairseq loads."""

import logging
import tempfile

from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.interchange import options
from fairseq_metro.interchange.roberta import read_any, vocabulary_of
from fairseq_metro.interchange.run_folder import write_run_folder

logger = logging.getLogger(__name__)


@messages_on_stderr()
def main(argv=None):
    args = options.import_roberta().parse_args(argv)
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
