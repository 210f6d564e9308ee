"""A vocabulary folder of fairseq_metro as a tokenizer of Hugging Face: the same ids for every text.

``vocab/`` holds the SentencePiece model, fairseq's dictionary, and what happens to a text first.
"""

import json
import shutil
from pathlib import Path

from sentencepiece import SentencePieceProcessor
from transformers import PreTrainedTokenizer

from fairseq_metro.vocabulary.normalization import Normalizer

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
FILES = {
    "vocab_file": "vocab/spm.model",
    "dictionary_file": "vocab/dict.txt",
    "settings_file": "vocab/tokenizer.json",
}


class FairseqMetroTokenizer(PreTrainedTokenizer):
    """Input: ``<s> tokens </s>``; target (``text_target``): ``tokens </s>``.

    A text is taken literally: ``</s>`` in it becomes pieces like any other characters, unless
    ``split_special_tokens=False`` is given. Line breaks are spaces, as in training.
    """

    vocab_files_names = FILES
    model_input_names = ("input_ids", "attention_mask")

    def __init__(
        self, vocab_file, dictionary_file, settings_file, split_special_tokens=True, **others
    ):
        self.files = (vocab_file, dictionary_file, settings_file)
        settings = json.loads(Path(settings_file).read_text("utf-8"))
        lines = Path(dictionary_file).read_text("utf-8").split("\n")
        self.symbols = [*SPECIALS, *(line.rpartition(" ")[0] for line in lines if line)]
        self.indices = {symbol: i for i, symbol in enumerate(self.symbols)}
        self.normalizer = Normalizer(settings["normalization"], settings["lowercase"])
        self.source_prefix = [0] if settings.get("source_bos", True) else []
        self.prefix = self.source_prefix
        self.processor = SentencePieceProcessor(model_file=str(vocab_file))
        if tuple(self.symbols[:4]) != SPECIALS or len(self.indices) != len(self.symbols):
            raise ValueError(f"{dictionary_file}: not the dictionary of fairseq_metro")
        roles = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIALS,
                         strict=True))  # fmt: skip
        roles["mask_token"] = settings["roles"]["mask"]
        super().__init__(split_special_tokens=split_special_tokens, **{**roles, **others})

    @property
    def vocab_size(self):
        return len(self.symbols)

    def get_vocab(self):
        return dict(self.indices)

    def _tokenize(self, text, **unused):
        text = self.normalizer(" ".join(text.split()))
        processor, tokens = self.processor, []
        for piece in processor.encode(text, out_type=int, num_threads=1):
            special = processor.is_control(piece) or processor.is_unknown(piece)
            tokens.append(SPECIALS[3] if special else processor.id_to_piece(piece))
        return tokens

    def _convert_token_to_id(self, token):
        return self.indices.get(token, 3)

    def _convert_id_to_token(self, index):
        return self.symbols[index]

    def convert_tokens_to_string(self, tokens):
        return self.processor.decode_pieces(list(tokens))

    def _decode(self, token_ids, skip_special_tokens=False, **unused):
        ids = [token_ids] if isinstance(token_ids, int) else list(map(int, token_ids))
        if skip_special_tokens:  # not <unk>: it stands for something
            return self.convert_tokens_to_string([self.symbols[i] for i in ids if i > 2])
        parts, run = [], []
        for symbol in map(self.symbols.__getitem__, ids):
            if symbol in SPECIALS[:3]:
                parts += [self.convert_tokens_to_string(run)] * bool(run) + [symbol]
                run = []
            else:
                run.append(symbol)
        return " ".join(parts + [self.convert_tokens_to_string(run)] * bool(run))

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        """``<s> a </s>``, of a pair ``<s> a </s> </s> b </s>``."""
        if token_ids_1 is None:
            return [*self.prefix, *token_ids_0, 2]
        return [*self.prefix, *token_ids_0, 2, 2, *token_ids_1, 2]

    def get_special_tokens_mask(
        self, token_ids_0, token_ids_1=None, already_has_special_tokens=False
    ):
        """1 at ``<s>``, ``<pad>`` and ``</s>``, else 0."""
        ids = token_ids_0
        if not already_has_special_tokens:
            second = None if token_ids_1 is None else [3] * len(token_ids_1)
            ids = self.build_inputs_with_special_tokens([3] * len(token_ids_0), second)
        return [int(i < 3) for i in ids]

    def create_token_type_ids_from_sequences(self, token_ids_0, token_ids_1=None):
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))

    def _switch_to_target_mode(self):
        self.prefix = []

    def _switch_to_input_mode(self):
        self.prefix = self.source_prefix

    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Copy the three files to ``save_directory/vocab``."""
        written = []
        for source, name in zip(self.files, FILES.values(), strict=True):
            target = Path(save_directory) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists() or not target.samefile(source):
                shutil.copyfile(source, target)
            written.append(str(target))
        return tuple(written)
