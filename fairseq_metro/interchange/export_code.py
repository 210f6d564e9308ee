"""The Python files that an exported folder carries, and its tokenizer.

They are modules of this package, copied as they are; what they import of it is copied beside them,
and their imports are made relative. So the folder needs transformers and nothing of ours. Each of
them imports all that it needs itself: transformers does not look into what an imported one imports.
"""

import re
from importlib.util import find_spec
from pathlib import Path

from fairseq_metro.common.files import write_json
from fairseq_metro.interchange.hugging_face import TOKENIZER_CONFIG

_HERE = "fairseq_metro.interchange.remote_code."
TOKENIZER_CODE = (f"{_HERE}tokenization_fairseq_metro", "fairseq_metro.vocabulary.normalization")
MODEL_CODE = (
    f"{_HERE}configuration_fairseq_metro",
    f"{_HERE}layers_fairseq_metro",
    f"{_HERE}modeling_fairseq_metro",
    f"{_HERE}pretraining_fairseq_metro",
)
_OWN_IMPORT = re.compile(r"^from fairseq_metro\.(?:\w+\.)*(\w+) import ", re.MULTILINE)


def write_code(modules, folder):
    """Write each of the named modules into an existing folder."""
    for name in modules:
        text = Path(find_spec(name).origin).read_text("utf-8")
        path = Path(folder) / f"{name.rpartition('.')[2]}.py"
        path.write_text(_OWN_IMPORT.sub(r"from .\1 import ", text), "utf-8")


def write_tokenizer(folder, longest):
    """Code and ``tokenizer_config.json`` beside ``folder/vocab``; longest: positions of the model."""
    write_code(TOKENIZER_CODE, folder)
    write_json(Path(folder) / TOKENIZER_CONFIG, {
        "tokenizer_class": "FairseqMetroTokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_fairseq_metro.FairseqMetroTokenizer", None]},
        "model_max_length": longest,
        "clean_up_tokenization_spaces": False,
    })  # fmt: skip
