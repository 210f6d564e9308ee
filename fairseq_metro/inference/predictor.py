"""A trained model in Python: text in, text or scores of choices out."""

import difflib
import logging

import torch
from fairseq.data.data_utils import collate_tokens
from fairseq.dataclass.configs import GenerationConfig
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.decoding import mended
from fairseq_metro.scoring import best, score_choices, token_batches
from fairseq_metro.scoring.choices import MAX_TOKENS
from fairseq_metro.vocabulary.characters import REMEDY, WARN

logger = logging.getLogger(__name__)

# What fairseq's build_generator reads, but for options that change what comes out.
OPTIONS = (
    "beam max_len_a max_len_b min_len unnormalized lenpen unkpen temperature match_source_len "
    "no_repeat_ngram_size sampling sampling_topk sampling_topp diverse_beam_groups "
    "diverse_beam_strength diversity_rate"
).split()
MAY_BE_EMPTY = {"min_len": 0}  # as Hugging Face and T5 decode; fairseq's own default is 1


class Predictor:
    """Made by :func:`fairseq_metro.load`. ``model``, ``task``, ``vocabulary`` are as they sound.

    Batches, lengths and the order of texts are its own business: results come in the order of what
    was given. Texts longer than the model reads are cut at the end, which one warning says; so does
    the first call of whose characters the vocabulary lacks more than 1 %, unless
    ``warn_of_unknown`` is False. Above 50 % it is an error where ``allow_unknown`` is False.
    """

    def __init__(self, model, task, vocabulary, decoder_start, positions):
        self.model, self.task, self.vocabulary = model, task, vocabulary
        self.decoder_start = decoder_start
        self.max_source, self.max_target = positions
        self.dictionary = task.target_dictionary
        self.warn_of_unknown = self.allow_unknown = True

    def generate(self, texts, max_tokens=MAX_TOKENS, **options):
        """The likeliest output of each text: list of N str -> list of N str.

        options: fairseq's of generation, in its names and with its defaults: ``beam=5``,
        ``max_len_a=0``, ``max_len_b=200`` (at most a * source + b tokens), ``lenpen``,
        ``no_repeat_ngram_size``, ``sampling``, ``sampling_topp``, ...; but ``min_len=0``, where
        fairseq's 1 would forbid an empty output. max_tokens: of one padded batch, beams counted.
        Raises :class:`UserError` for an empty text, what is no text, and an unknown option.
        """
        sources = self.sources(texts)
        generator = self._generator(options)
        shapes = [(1, len(source), 0) for source in sources]
        outputs = [""] * len(sources)
        for batch in token_batches(shapes, max(1, max_tokens // generator.beam_size)):
            for i, tokens in zip(batch, self._search(generator, sources, batch), strict=True):
                outputs[i] = self.vocabulary.decode(tokens)
        return outputs

    def score_choices(self, texts, choices, max_tokens=MAX_TOKENS):
        """log p(choice | text), summed over the choice's tokens and the end: list of lists of float.

        choices: for each text its own list of str, or one list of str for all texts. Raises
        :class:`UserError` for an empty text, list or choice, and for what is no text.
        """
        return [row.tolist() for row in self._scores(texts, choices, max_tokens)]

    def best(self, texts, choices, max_tokens=MAX_TOKENS):
        """Index of the likeliest choice of each text, the first of equal ones: list of int."""
        return best(self._scores(texts, choices, max_tokens))

    def predict(self, texts, choices=None, **options):
        """The likeliest choice of each text; what :meth:`generate` gives where there are none."""
        if choices is None:
            return self.generate(texts, **options)
        texts = strings(texts, "text")
        choices = choices_by_text(choices, texts)
        likeliest = self.best(texts, choices, **options)
        return [each[i] for each, i in zip(choices, likeliest, strict=True)]

    def sources(self, texts):
        """The model's inputs: a list of (T,) int64 tensors, ``<s>`` tokens ``</s>`` for most models."""
        return self._tokens(texts, "text", self.vocabulary.source_prefix, self.max_source)

    def targets(self, texts):
        """The decoder's targets, as choices are: a list of (S,) int64 tensors, tokens ``</s>``."""
        return self._tokens(texts, "choice", [], self.max_target)

    def _scores(self, texts, choices, max_tokens):
        texts = strings(texts, "text")
        choices = choices_by_text(choices, texts)
        sources = self.sources(texts)
        distinct = list(dict.fromkeys(choice for each in choices for choice in each))
        tokens = dict(zip(distinct, self.targets(distinct), strict=True))
        return score_choices(
            self.model,
            sources,
            [[tokens[choice] for choice in each] for each in choices],
            pad=self.dictionary.pad(),
            decoder_start=self.decoder_start,
            max_tokens=max_tokens,
        )

    def characters(self, texts):
        """The :class:`~fairseq_metro.vocabulary.characters.Characters` of a list of texts."""
        return self._encoded(strings(texts, "text"))[1]

    def _encoded(self, texts):
        """Ids of each text, (n,) int64 each, and the Characters of all."""
        texts = [
            " ".join(text.split()) for text in texts
        ]  # as in training: a line break is a space
        flat, sizes = self.vocabulary.encode_flat(texts)
        characters = self.vocabulary.characters(texts, flat, sizes)
        return torch.from_numpy(flat).split(sizes.tolist()), characters

    def _tokens(self, texts, what, prefix, longest):
        """Ids of each text after ``prefix`` and before ``</s>``, at most ``longest`` in all."""
        texts = strings(texts, what)
        if empty := [i for i, text in enumerate(texts) if not text.strip()]:
            raise UserError(f"{what} {empty[0]} is empty; give some text")
        room = longest - len(prefix) - 1
        encoded, characters = self._encoded(texts)
        characters.refuse(f"{what}s", self.allow_unknown)
        if self.warn_of_unknown and characters.share > WARN:
            self.warn_of_unknown = False
            logger.warning("%s; %s; said once", characters.sentence(f"{what}s"), REMEDY)
        lengths = list(map(len, encoded))
        before, end = torch.tensor(prefix, dtype=torch.int64), torch.tensor([self.dictionary.eos()])
        tokens = [torch.cat((before, ids[:room], end)) for ids in encoded]
        if long := [i for i, length in enumerate(lengths) if length > room]:
            logger.warning(
                f"{len(long)} of {len(lengths)} {what}s cut at the end: the model takes {room} "
                f"tokens, {what} {long[0]} has {lengths[long[0]]}"
            )
        return tokens

    def _generator(self, options):
        for name in options:
            if name not in OPTIONS:
                near = difflib.get_close_matches(name, OPTIONS, 3, 0.4)
                raise UserError(
                    f"generate has no option {name!r}; the nearest are {', '.join(near)}"
                    if near
                    else f"generate has no option {name!r}; it has {', '.join(OPTIONS)}"
                )
        try:
            cfg = OmegaConf.merge(OmegaConf.structured(GenerationConfig), MAY_BE_EMPTY, options)
            if cfg.beam < 1:
                raise ValueError(f"beam is {cfg.beam}, must be at least 1")
            return self.task.build_generator([self.model], cfg)
        except (OmegaConfBaseException, ValueError, AssertionError) as error:
            reason = (str(error) or "options that exclude one another").splitlines()[0]
            raise UserError(f"generate: {reason}") from None

    def _search(self, generator, sources, batch):
        """Tokens of the best hypothesis of each source of a batch."""
        device = next(self.model.parameters()).device
        rows = [sources[i] for i in batch]
        sample = {
            "net_input": {
                "src_tokens": collate_tokens(rows, self.dictionary.pad()).to(device),
                "src_lengths": torch.tensor([len(row) for row in rows], device=device),
            }
        }
        found = generator.generate([self.model], sample, bos_token=self.decoder_start)
        return [hypotheses[0]["tokens"].tolist() for hypotheses in found]


def strings(values, what):
    """A list of str of what a caller gave as texts or choices, lone surrogates as U+FFFD.

    what: one of them, for messages. Raises :class:`UserError` for what is no list of strings.
    """
    if isinstance(values, (str, bytes)):
        raise UserError(f"one string where a list of {what}s belongs; give [{values[:40]!r}]")
    if isinstance(values, dict) or not hasattr(values, "__iter__"):
        raise UserError(f"the {what}s are {values!r:.40}, must be a list of strings")
    values = list(values)
    for i, value in enumerate(values):
        if not isinstance(value, str):
            remedy = "decode it first" if isinstance(value, bytes) else "give a string"
            kind = type(value).__name__
            raise UserError(f"{what} {i} is {value!r:.40}, of type {kind}; {remedy}")
    whole = [mended(value) for value in values]
    if replaced := sum(count for _, count in whole):
        logger.warning("%d lone surrogate(s) in the %ss read as U+FFFD", replaced, what)
    return [text for text, _ in whole]


def choices_by_text(choices, texts):
    """A list of choices for each text, from such lists or from one that all share: list of lists.

    texts: a list. Raises :class:`UserError`.
    """
    if isinstance(choices, (str, bytes, dict)) or not hasattr(choices, "__iter__"):
        raise UserError(
            f"the choices are {choices!r:.40}, must be a list of strings, or such a list for each text"
        )
    choices = list(choices)
    if not choices:
        raise UserError("no choices given; give at least one")
    if all(isinstance(choice, str) for choice in choices):
        return [strings(choices, "choice")] * len(texts)
    if not all(isinstance(each, (list, tuple)) for each in choices):
        raise UserError("choices must be a list of strings, or such a list for each text")
    if len(choices) != len(texts):
        raise UserError(f"{len(texts)} texts, but choices for {len(choices)}; give one list each")
    if empty := [i for i, each in enumerate(choices) if not len(each)]:
        raise UserError(f"text {empty[0]} has no choices; give at least one")
    return [strings(each, "choice") for each in choices]
