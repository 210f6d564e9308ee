"""Import a METRO-T5 or METRO-T0 model of the authors: a run's folder of ours that fairseq loads."""

import dataclasses
import logging
from pathlib import Path

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.interchange import options
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.model import METRO, read_model
from fairseq_metro.interchange.run_folder import run_state, write_run_folder
from fairseq_metro.vocabulary.authors import LOWERCASE, is_ours
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER
from fairseq_metro.vocabulary.roberta import open_vocabulary

logger = logging.getLogger(__name__)


@messages_on_stderr()
def main(argv=None):
    args = options.import_authors().parse_args(argv)
    import_authors(
        args.source, args.out, args.vocab, args.main_only, args.max_distance, args.heads,
        args.max_positions, LOWERCASE[args.lowercase],
    )  # fmt: skip
    return 0


def import_authors(
    source, out, vocab=None, main_only=False, max_distance=None, heads=None, max_positions=None,
    lowercase=None,
):  # fmt: skip
    """Write the run's folder ``out``; return the path of its checkpoint."""
    given = {"max_distance": max_distance, "heads": heads}
    model = _complete(read_model(source, main_only, max_positions, given))
    path = write_run_folder(model, out, vocab, lowercase)
    parameters = {value.data_ptr(): value.numel() for value in model.state.values()}
    logger.info(
        "%s: %s with %d + %d layers, width %d, %d buckets to distance %d; %s parameters", path,
        model.name, model.config["encoder_layers"], model.config["decoder_layers"],
        model.config["embed_dim"], model.config["relative_position_buckets"],
        model.config["relative_position_max_distance"], f"{sum(parameters.values()):,}",
    )  # fmt: skip
    return path


def opened_checkpoint(path):
    """A training checkpoint of theirs that has a vocabulary folder of ours beside it, as one of ours.

    ``export_authors --format training`` writes such a folder. Raises :class:`UserError`.
    """
    model = _complete(read_model(path))
    if model.vocabulary is None or not is_ours(model.vocabulary):
        raise UserError(
            f"{path}: a checkpoint of the authors' format without a vocabulary folder of ours "
            f"({VOCAB_FOLDER}/) beside it; import it first (fairseq-metro import)"
        )
    vocabulary, rows = open_vocabulary(model.vocabulary), model.state[TOKENS].size(0)
    if len(vocabulary) != rows:
        raise UserError(
            f"{model.vocabulary}: a vocabulary of {len(vocabulary)} symbols, but the token table of "
            f"{path} has {rows} rows; put the vocabulary it was trained with there"
        )
    return run_state(model, vocabulary, Path(path).parent)


def _complete(model):
    """Theirs may have no RTD head, ours always has one: the simple one, at zero, says p = 0.5."""
    if model.name != METRO or any(key.startswith("rtd_head.") for key in model.state):
        return model
    logger.warning(f"{model.origin}: no RTD head in it; ours is the simple one at its start, zero")
    dim = model.config["embed_dim"]
    head = {"rtd_head.out.weight": torch.zeros(1, dim), "rtd_head.out.bias": torch.zeros(1)}
    return dataclasses.replace(
        model, config={**model.config, "rtd_head": "simple"}, state={**model.state, **head}
    )
