"""Options of the commands that import and export models, importable without torch."""

from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.interchange.export_command import FORMATS as FORMATS_OF_WEIGHTS
from fairseq_metro.vocabulary.authors import LOWERCASE

FORMATS = ("hugging-face", "training")  # of the authors


IMPORT_AUTHORS = """\
Import a METRO-T5 or METRO-T0 model of the authors: a run's folder of ours that fairseq loads.

SOURCE is a training checkpoint of theirs, or a Hugging Face release folder. Sizes, heads and sharing
are read from the parameters. The folder written holds checkpoint_last.pt and vocab/; continue
pretraining from it with --init-from FOLDER.
"""


def import_authors():
    """The command's options."""
    parser = CommandParser(description=IMPORT_AUTHORS)
    add = parser.add_argument
    add("source", type=Path, help="Checkpoint file or Hugging Face folder of the authors.")
    add("--out", required=True, type=Path, help="Run directory to write.")
    add("--vocab", type=Path,
        help="Folder with the authors' sp.model and dict.txt, or a vocabulary folder imported "
             "from them (default: beside SOURCE).")  # fmt: skip
    add("--main-only", action="store_true",
        help="Import without the auxiliary model and the RTD head.")  # fmt: skip
    add("--max-distance", type=int, metavar="N",
        help="Distance beyond which all positions share the last relative-position bucket "
             "(default: as in the files).")  # fmt: skip
    add("--heads", type=int, metavar="N",
        help="Number of attention heads (default: as in the files).")  # fmt: skip
    add("--max-positions", type=int, metavar="N",
        help="Keep only the first N positions (default: all).")  # fmt: skip
    add("--lowercase", choices=LOWERCASE, default="auto",
        help="Whether to lower-case text before tokenization; auto does so if the normalizer of "
             "the model folds case (default: auto).")  # fmt: skip
    return parser


EXPORT_AUTHORS = """\
Export a model of ours in the authors' formats: a Hugging Face folder, or a training checkpoint.

The Hugging Face folder holds the main model, config.json with every field that their class reads
(their own converter leaves out relative_attention_max_distance and max_positions), sp.model and
dict.txt; weights are fp16 as theirs. The training folder holds checkpoint.pt under their names, with
the auxiliary model and the RTD head. Either also holds vocab/, our vocabulary folder.
"""


def export_authors():
    """The command's options."""
    parser = CommandParser(description=EXPORT_AUTHORS)
    add = parser.add_argument
    add("source", type=Path, help="Run directory, or one of its checkpoints.")
    add("--out", required=True, type=Path, help="Folder to write.")
    add("--format", choices=FORMATS, default=FORMATS[0],
        help="Format to write (default: hugging-face).")  # fmt: skip
    add("--fp32", action="store_true", help="Write Hugging Face weights in fp32 instead of fp16.")
    add("--main-only", action="store_true",
        help="Training format only: export without the auxiliary model and the RTD "
             "head.")  # fmt: skip
    return parser


IMPORT_T5 = """\
Import T5 v1.0 or v1.1 from a local Hugging Face folder: a run's folder of ours that fairseq loads.

FOLDER holds config.json, model.safetensors or pytorch_model.bin (or several files and their index),
and spiece.model. The folder written holds checkpoint_last.pt and vocab/; fine-tune it with
--arch hf_t5_small (or its size) --init-from OUT, data made with OUT/vocab.
"""


def import_t5():
    """The command's options."""
    parser = CommandParser(description=IMPORT_T5)
    parser.add_argument("folder", type=Path, help="Hugging Face folder to import.")
    parser.add_argument("--out", required=True, type=Path, help="Run directory to write.")
    return parser


IMPORT_ROBERTA = """\
Import RoBERTa or DistilRoBERTa: a run's folder of ours that fairseq loads.

SOURCE is a local Hugging Face folder (config.json, model.safetensors or pytorch_model.bin, or several
files and their index, and its tokenizer), or a checkpoint of fairseq's own RoBERTa, with its dict.txt
beside. The folder written holds checkpoint_last.pt and vocab/; train it further with
--arch roberta_mlm_base (or its size) --init-from OUT, data made with OUT/vocab.
"""


def import_roberta():
    """The command's options."""
    parser = CommandParser(description=IMPORT_ROBERTA)
    add = parser.add_argument
    add("source", type=Path, help="Hugging Face folder, or a checkpoint of fairseq.")
    add("--out", required=True, type=Path, help="Run directory to write.")
    add("--tokenizer", type=Path,
        help="Tokenizer folder of the fairseq checkpoint: GPT-2's encoder.json and vocab.bpe, "
             "vocab.json and merges.txt, or a vocabulary folder (default: beside the "
             "checkpoint).")  # fmt: skip
    add("--heads", type=int,
        help="Number of attention heads, if the fairseq checkpoint does not state "
             "it.")  # fmt: skip
    return parser


EXPORT_HF = """\
Export any model of ours to a folder that Hugging Face's transformers loads.

A hf_t5 becomes their T5ForConditionalGeneration, a roberta_mlm their RobertaForMaskedLM. A metro_t5
or t5_transformer has no class of theirs: its folder carries a small one, which needs neither fairseq
nor this package and is loaded with trust_remote_code=True. The tokenizer gives our ids. SOURCE may
also be a Hugging Face folder that we read, such as the authors'; --init-from, fairseq-metro evaluate
and fairseq_metro.load take OUT back.
"""


def export_hf():
    """The command's options."""
    parser = CommandParser(description=EXPORT_HF)
    add = parser.add_argument
    add(
        "source", type=Path, help="Run directory, one of its checkpoints, or a Hugging Face folder."
    )
    add("--out", required=True, type=Path, help="Folder to write.")
    add("--title", help="Heading of the model card (default: the kind of model).")
    add("--with-auxiliary", action="store_true",
        help="Keep the auxiliary model and heads of a METRO-T5 "
             "(FairseqMetroForPreTraining).")  # fmt: skip
    return parser


EXPORT_T5 = """\
Export a hf_t5 model of ours as a Hugging Face folder, which their T5 classes load.

It holds config.json, float32 weights, spiece.model and tokenizer_config.json. Ids are T5's own again
where the model was imported.
"""


def export_t5():
    """Options of ``fairseq-metro export-t5``."""
    return _export(EXPORT_T5)


EXPORT_ROBERTA = """\
Export a roberta_mlm model of ours as a Hugging Face folder, which RobertaForMaskedLM loads.

It holds config.json, float32 weights and the tokenizer: RoBERTa's own files where the model was
imported; for a model trained here vocab/, our SentencePiece vocabulary, and a tokenizer that reads it
(trust_remote_code=True).
"""


def export_roberta():
    """Options of ``fairseq-metro export-roberta``."""
    return _export(EXPORT_ROBERTA)


def _export(description):
    parser = CommandParser(description=description)
    add = parser.add_argument
    add("source", type=Path, help="Run directory, or one of its checkpoints.")
    add("--out", required=True, type=Path, help="Folder to write.")
    add("--format", choices=FORMATS_OF_WEIGHTS, default="auto",
        help="File format of the weights: model.safetensors (safetensors), pytorch_model.bin "
             "(bin), or safetensors if its package is installed and bin otherwise (auto, the "
             "default).")  # fmt: skip
    return parser
