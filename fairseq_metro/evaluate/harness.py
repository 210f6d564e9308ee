"""Our models in EleutherAI's lm-evaluation-harness 0.4: the model name ``fairseq_metro``.

Importing this module registers it. The harness asks for pairs of a context and a continuation: the
context is the encoder's input, the continuation the decoder's target. Requests with one context are
scored together, its encoder run once.
"""

from itertools import groupby

import lm_eval.models  # noqa: F401  the harness lists its own only while it knows of no other
import torch
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.model_source import load_model, model_facts
from fairseq_metro.evaluate.options import DTYPES
from fairseq_metro.scoring.choices import MAX_TOKENS
from fairseq_metro.scoring.tokens import score_tokens

NEW_TOKENS = 256  # what the harness's own models generate where a task does not say


@register_model("fairseq_metro")
class FairseqMetroLM(LM):
    """A :class:`~fairseq_metro.inference.predictor.Predictor` behind the harness's three questions.

    pretrained: a run's folder, a checkpoint, or a Hugging Face folder that we read. dtype: float32,
    bfloat16 or float16. score_eos: score ``</s>`` after a continuation, as rank classification does;
    without it the numbers are those of the harness's own models. max_tokens: of one padded batch;
    frozen_model: of a soft prompt, the model it was trained with;
    batch_size and max_batch_size, which the harness hands to every model, are not used.
    """

    def __init__(
        self,
        pretrained,
        device=None,
        dtype="float32",
        score_eos=True,
        max_tokens=MAX_TOKENS,
        frozen_model=None,
        batch_size=None,
        max_batch_size=None,
    ):
        super().__init__()
        if dtype not in DTYPES:
            raise UserError(f"dtype is {dtype!r}, must be one of {', '.join(DTYPES)}")
        self.predictor = load_model(pretrained, device, dtype, frozen_model)
        self.facts = {**model_facts(pretrained), "dtype": dtype, "score_eos": bool(score_eos)}
        self.score_eos, self.max_tokens = bool(score_eos), int(max_tokens)
        self._device = next(self.predictor.model.parameters()).device

    def get_model_info(self):
        """What the harness's result file says of the model."""
        return {f"model_{key}": value for key, value in self.facts.items()}

    def loglikelihood(self, requests):
        """[(context, continuation)] -> [(sum of log p, is every token the likeliest)]."""
        pairs = [request.args for request in requests]
        order = sorted(range(len(pairs)), key=lambda i: pairs[i][0])
        groups = [list(group) for _, group in groupby(order, key=lambda i: pairs[i][0])]
        sources = [self._source(pairs[group[0]][0]) for group in groups]
        targets = [[self._target(pairs[i][1]) for i in group] for group in groups]
        answers = [None] * len(pairs)
        for group, each in zip(groups, self._scores(sources, targets), strict=True):
            for i, (log_p, likeliest) in zip(group, each, strict=True):
                answers[i] = (float(log_p.sum()), bool(likeliest.all()))
        return self._remember("loglikelihood", requests, answers)

    def loglikelihood_rolling(self, requests):
        """[(text,)] -> [log p of the text]: the decoder's, after an empty input, without ``</s>``.

        A longer text than the decoder reads is cut: every token is scored once, the last ones with as
        many before them as there is room for.
        """
        longest = self.predictor.max_target
        windows = []  # of all texts: (text, tokens, how many of the last are scored)
        for i, request in enumerate(requests):
            tokens = self._ids(request.args[0])
            for start in range(0, len(tokens), longest):
                end = min(start + longest, len(tokens))
                windows.append((i, tokens[max(0, end - longest) : end], end - start))
        answers = [0.0] * len(requests)
        each = self._scores([self._source("")] * len(windows), [[w[1]] for w in windows])
        for (i, _, scored), ((log_p, _),) in zip(windows, each, strict=True):
            answers[i] += float(log_p[-scored:].sum())
        return self._remember("loglikelihood_rolling", requests, answers)

    def generate_until(self, requests):
        """[(context, settings)] -> [text], cut before the first of the settings' stop strings."""
        settings = [dict(request.args[1]) for request in requests]
        options = [_generation(each) for each in settings]
        answers = [None] * len(requests)
        for group in {tuple(sorted(each.items())): each for each in options}.values():
            own = [i for i, each in enumerate(options) if each == group]
            contexts = [requests[i].args[0] for i in own]
            texts = self.predictor.generate(contexts, max_tokens=self.max_tokens, **group)
            for i, text in zip(own, texts, strict=True):
                answers[i] = _until(text, settings[i].get("until"))
        return self._remember("generate_until", requests, answers)

    def _ids(self, text):
        return torch.tensor(
            self.predictor.vocabulary.encode(" ".join(text.split())), dtype=torch.long
        )

    def _source(self, text):
        """A context's input; an empty one is ``<s> </s>``."""
        if text.strip():
            return self.predictor.sources([text])[0]
        eos = self.predictor.dictionary.eos()
        return torch.tensor([*self.predictor.vocabulary.source_prefix, eos])

    def _target(self, text):
        """A continuation without the blank that the harness puts before it; maybe no token at all."""
        room = self.predictor.max_target - self.score_eos
        end = [self.predictor.dictionary.eos()] * self.score_eos
        return torch.cat([self._ids(text)[:room], torch.tensor(end, dtype=torch.long)])

    def _scores(self, sources, targets):
        """As score_tokens; a target without tokens has the sum 0."""
        kept = [i for i, each in enumerate(targets) if any(map(len, each))]
        scores = score_tokens(
            self.predictor.model,
            [sources[i] for i in kept],
            [[t for t in targets[i] if len(t)] for i in kept],
            pad=self.predictor.dictionary.pad(),
            decoder_start=self.predictor.decoder_start,
            max_tokens=self.max_tokens,
        )
        by_input = dict(zip(kept, map(iter, scores), strict=True))
        nothing = (torch.zeros(0), torch.ones(0, dtype=torch.bool))
        return [
            [next(by_input[i]) if len(target) else nothing for target in each]
            for i, each in enumerate(targets)
        ]

    def _remember(self, name, requests, answers):
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(name, request.args, answer)
        return answers


def _generation(settings):
    """The harness's settings in fairseq's names. Raises :class:`UserError` for one unknown to us."""
    left = {key: value for key, value in settings.items() if key != "until"}
    options = {"beam": int(left.pop("num_beams", 1))}
    limits = [left.pop(key, None) for key in ("max_gen_toks", "max_new_tokens", "max_tokens")]
    options["max_len_b"] = int(next((n for n in limits if n is not None), NEW_TOKENS))
    temperature = float(left.pop("temperature", 0) or 0)
    sampled = left.pop("do_sample", temperature > 0)
    top_k, top_p = left.pop("top_k", None), left.pop("top_p", None)
    if sampled:
        options |= {"sampling": True, "temperature": temperature or 1.0}
        options |= {"sampling_topk": int(top_k)} if top_k else {}
        options |= {"sampling_topp": float(top_p)} if top_p else {}
    if left:
        raise UserError(
            f"generation setting {min(left)!r} of the task is unknown here; there are num_beams, "
            "max_gen_toks, do_sample, temperature, top_k, top_p, until"
        )
    return options


def _until(text, stops):
    """The text before the first of the stop strings, one or a list."""
    for stop in [stops] if isinstance(stops, str) else stops or []:
        if stop:
            text = text.split(stop)[0]
    return text
