"""``--init-from``: begin pretraining with the parameters of a model that exists already."""

import logging

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.hf_t5 import initialize_hf_t5
from fairseq_metro.interchange.model import read_model
from fairseq_metro.interchange.roberta import initialize_roberta
from fairseq_metro.models.hf_t5 import HfT5Model
from fairseq_metro.models.metro_t5.config import auxiliary_config
from fairseq_metro.models.roberta import RobertaMLMModel
from fairseq_metro.vocabulary.authors import full_symbols, is_ours
from fairseq_metro.vocabulary.folder import Vocabulary

logger = logging.getLogger(__name__)

MAIN = (
    "embed_dim",
    "ffn_dim",
    "attention_heads",
    "encoder_layers",
    "decoder_layers",
    "relative_position_buckets",
    "relative_position_max_distance",
    "max_positions",
)
# What a model may lack, its parameters, and the options that both must agree in.
PARTS = {
    "auxiliary model": (("auxiliary.", "mlm_head."), ("auxiliary_layers", "mlm_head")),
    "RTD head": (("rtd_head.",), ("rtd_head", "rtd_on")),
    "CLM head": (("clm_head.",), ()),
}


def initialize_from(model, cfg, vocabulary, source):
    """Copy the parameters in ``source`` into ``model``, a model of ours just built from ``cfg``.

    source: a run's folder or checkpoint of ours, an authors' checkpoint or Hugging Face folder.
    vocabulary: the data's. An auxiliary model, RTD head or CLM head that is not in ``source`` keeps
    its initial parameters, which the log says. A ``hf_t5`` takes a Hugging Face folder of T5 or a
    run of ours, a ``roberta_mlm`` what :func:`load_roberta` does. Raises :class:`UserError` for
    another vocabulary, or where sizes differ.
    """
    if isinstance(model, HfT5Model):
        initialize_hf_t5(model, cfg, vocabulary, source)
        return
    if isinstance(model, RobertaMLMModel):
        initialize_roberta(model, cfg, vocabulary, source)
        return
    own = model.state_dict()
    known = {
        "max_distance": cfg.relative_position_max_distance,
        "heads": cfg.attention_heads,
    }
    found = read_model(source, defaults=known)
    check_vocabulary(found, vocabulary)
    said = _compare(found, cfg, own)
    for key in sorted(found.state.keys() & own.keys()):
        if own[key].shape != found.state[key].shape:
            raise UserError(
                f"--init-from {found.origin}: {key} is {tuple(found.state[key].shape)} in it, "
                f"{tuple(own[key].shape)} here; give the --arch and sizes it was trained with"
            )
    _check_sharing(model, found, cfg)
    with torch.no_grad():
        for key, value in found.state.items():
            if key in own:
                own[key].copy_(value)
    logger.info(f"--init-from {found.origin}: {found.name}, {found.num_updates} updates{said}")


def _compare(found, cfg, own):
    """What to say about absent parts. Raises :class:`UserError` that lists other options."""
    options, said = list(MAIN), ""
    for part, (prefixes, agreed) in PARTS.items():
        here = any(key.startswith(prefixes) for key in own)
        there = any(key.startswith(prefixes) for key in found.state)
        if here and there:
            options += agreed
        elif here:
            said += f"; no {part} in it: ours stays at its initialisation"
        elif there:
            said += f"; its {part} is left behind"
    theirs, ours = dict(found.config), {name: getattr(cfg, name, None) for name in options}
    if "auxiliary_layers" in options:
        options.append("auxiliary_embed_dim")
        ours["auxiliary_embed_dim"] = auxiliary_config(cfg).embed_dim
        theirs["auxiliary_embed_dim"] = theirs["auxiliary_embed_dim"] or theirs["embed_dim"]
    other = [name for name in options if str(theirs[name]) != str(ours[name])]
    if other:
        flags = " ".join(f"--{name.replace('_', '-')} {theirs[name]}" for name in other)
        here = ", ".join(str(ours[name]) for name in other)
        raise UserError(
            f"--init-from {found.origin}: it has {flags}, but here it is {here}; give its"
        )
    return said


def check_vocabulary(found, vocabulary):
    """Raise :class:`UserError` unless a :class:`Model`'s ids mean what ``vocabulary``'s do.

    Ours must be the same folder by hash, the authors' have the same dictionary.
    """
    where = f"--init-from {found.origin}"
    rows = found.state[TOKENS].size(0)
    if rows != len(vocabulary):
        raise UserError(
            f"{where}: its token table has {rows} rows, but {vocabulary.path} {len(vocabulary)} "
            "symbols; binarize with the vocabulary it was trained with"
        )
    folder, theirs = found.vocabulary, found.stamp.get("vocabulary")
    if folder is not None and is_ours(folder):
        theirs = Vocabulary.load(folder).hash
    if theirs is not None:
        if theirs != vocabulary.hash:
            raise UserError(
                f"{where}: trained with vocabulary {theirs[:12]}, but {vocabulary.path} is "
                f"{vocabulary.hash[:12]}; binarize with the vocabulary it was trained with"
            )
    elif folder is None:
        logger.warning(f"{where}: no dict.txt beside it, so only the number of its ids is checked")
    else:
        bare = len(full_symbols(folder, 0))
        symbols = full_symbols(folder, max(0, rows - bare))
        pairs = zip(symbols, vocabulary.symbols, strict=False)
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if first is not None or len(symbols) != rows:
            raise UserError(
                f"{where}: {folder / 'dict.txt'} and {vocabulary.path / 'dict.txt'} differ "
                f"(id {first}); make the vocabulary with fairseq-metro import-vocabulary and "
                "binarize with it"
            )


def _check_sharing(model, found, cfg):
    """One table here under two names must not be two tables there."""
    names = {}
    for key, parameter in model.state_dict(keep_vars=True).items():
        names.setdefault(id(parameter), []).append(key)
    for first, *others in names.values():
        for other in others:
            there = first in found.state and other in found.state
            if there and not torch.equal(found.state[first], found.state[other]):
                raise UserError(
                    f"--init-from {found.origin}: {first} and {other} differ in it, but are one "
                    f"with --share-auxiliary {cfg.share_auxiliary}; give --share-auxiliary token"
                )
