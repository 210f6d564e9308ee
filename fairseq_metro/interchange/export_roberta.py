"""Export a roberta_mlm model of ours as a Hugging Face folder, which RobertaForMaskedLM loads."""

from functools import partial

from fairseq_metro.common.files import write_json
from fairseq_metro.interchange import hugging_face, options
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.export_code import write_tokenizer
from fairseq_metro.interchange.export_command import export_command
from fairseq_metro.interchange.hugging_face import (
    CONFIG,
    TOKENIZER_CONFIG,
    weights_name,
    write_weights,
)
from fairseq_metro.interchange.roberta import FIXED, PAD, SIZES, read_run, vocabulary_of
from fairseq_metro.interchange.roberta_keys import to_hugging_face
from fairseq_metro.interchange.training_facts import SECTION
from fairseq_metro.vocabulary.folder import DICTIONARY, VOCAB_FOLDER
from fairseq_metro.vocabulary.roberta import is_byte_level


def main(argv=None):
    return export_command(options.export_roberta(), read_run, write_folder, argv)


def their_config(model):
    """``config.json`` for their ``RobertaForMaskedLM``, from a :class:`Model`."""
    return {
        "architectures": ["RobertaForMaskedLM"],
        "model_type": "roberta",
        **{name: model.config[ours] for ours, (name, _) in SIZES.items()},
        **FIXED,
        "max_position_embeddings": model.config["max_positions"] + PAD + 1,
        "type_vocab_size": 1,
        "tie_word_embeddings": True,
        "vocab_size": model.state[TOKENS].size(0),
        "torch_dtype": "float32",
    }


def write_files(model, folder, safetensors=None, facts=None):
    """Fill a folder of theirs from a :class:`Model`, float32; returns the ``config.json``.

    facts: of the training, kept in ``config.json``.
    """
    vocabulary, longest = vocabulary_of(model), model.config["max_positions"]
    named = to_hugging_face(model.state, model.config["encoder_layers"])
    config = their_config(model) | ({} if facts is None else {SECTION: facts})
    write_json(folder / CONFIG, config)
    if is_byte_level(vocabulary.path):
        vocabulary.write_into(folder)
        (folder / DICTIONARY).unlink()
        write_json(
            folder / TOKENIZER_CONFIG,
            {"tokenizer_class": "RobertaTokenizer", "model_max_length": longest},
        )
    else:
        vocabulary.copy_to(folder / VOCAB_FOLDER)
        write_tokenizer(folder, longest)
    write_weights(named, folder / weights_name(folder, safetensors))
    return config


write_folder = partial(hugging_face.write_folder, write_files)  # (model, out, safetensors)
