"""Export a roberta_mlm model of ours as a Hugging Face folder, which RobertaForMaskedLM loads.

It holds config.json, float32 weights and the tokenizer: RoBERTa's own files where the model was
imported; for a model trained here vocab/, our SentencePiece vocabulary, which has no class of theirs.
"""

from fairseq_metro.data.vocabulary import DICTIONARY, VOCAB_FOLDER
from fairseq_metro.files import write_json
from fairseq_metro.interchange.authors_keys import TOKENS
from fairseq_metro.interchange.export_command import export_command
from fairseq_metro.interchange.hugging_face import (
    CONFIG,
    TOKENIZER_CONFIG,
    weights_name,
    write_weights,
)
from fairseq_metro.interchange.roberta import FIXED, PAD, SIZES, read_run, vocabulary_of
from fairseq_metro.interchange.roberta_keys import to_hugging_face
from fairseq_metro.interchange.roberta_vocabulary import is_byte_level
from fairseq_metro.interchange.whole_folder import whole_folder


def main(argv=None):
    return export_command(__doc__, read_run, write_folder, argv)


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


def write_folder(model, out, safetensors=None):
    """Write a folder of theirs from a :class:`Model`; weights are float32.

    safetensors: as for :func:`~fairseq_metro.interchange.hugging_face.weights_name`. Raises
    :class:`UserError`, and leaves nothing half-written.
    """
    vocabulary = vocabulary_of(model)
    weights = weights_name(out, safetensors)
    named = to_hugging_face(model.state, model.config["encoder_layers"])
    with whole_folder(out) as partial:
        write_json(partial / CONFIG, their_config(model))
        if is_byte_level(vocabulary.path):
            vocabulary.write_into(partial)
            (partial / DICTIONARY).unlink()
            longest = model.config["max_positions"]
            write_json(
                partial / TOKENIZER_CONFIG,
                {"tokenizer_class": "RobertaTokenizer", "model_max_length": longest},
            )
        else:
            vocabulary.copy_to(partial / VOCAB_FOLDER)
        write_weights(named, partial / weights)
