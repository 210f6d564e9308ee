"""Import T5 v1.0 or v1.1 from a local Hugging Face folder to a run folder that fairseq loads."""

import logging
import tempfile

from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.interchange import options
from fairseq_metro.interchange.hf_t5 import read_folder
from fairseq_metro.interchange.run_folder import write_run_folder

logger = logging.getLogger(__name__)


@messages_on_stderr()
def main(argv=None):
    args = options.import_t5().parse_args(argv)
    import_t5(args.folder, args.out)
    return 0


def import_t5(folder, out):
    """Write the run's folder ``out``; return the path of its checkpoint."""
    with tempfile.TemporaryDirectory() as scratch:
        model = read_folder(folder, scratch)
        path = write_run_folder(model, out)
    config = model.config
    parameters = {value.data_ptr(): value.numel() for value in model.state.values()}
    logger.info(
        "%s: T5 with %d + %d layers, width %d, %s, output %s; %s parameters", path,
        config["encoder_layers"], config["decoder_layers"], config["embed_dim"],
        config["activation"], "untied" if config["untied_output"] else "tied",
        f"{sum(parameters.values()):,}",
    )  # fmt: skip
    return path
