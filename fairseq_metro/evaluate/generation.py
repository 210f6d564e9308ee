"""Text-to-text tasks: what the model generates, and how it is judged. rouge_score and sacrebleu are
imported when a suite asks for them."""

import re
import string
from collections import Counter

from fairseq_metro.common.errors import UserError
from fairseq_metro.evaluate.sharing import shared_out

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
ROUGE = ("rouge1", "rouge2", "rougeL")


def outputs(job, several, load):
    """Generated texts of each of several Examples: list of lists of str."""
    suite_set = several[0].run.set
    inputs = [text for examples in several for text in examples.inputs]
    distinct = list(dict.fromkeys(inputs))
    options = {} if job.max_tokens is None else {"max_tokens": job.max_tokens}

    def generate(texts):
        if not texts:
            return []
        return load().generate(
            texts, beam=suite_set.beam, max_len_b=suite_set.max_length, **options
        )

    generated = dict(zip(distinct, shared_out(generate, distinct, len), strict=True))
    texts = iter([generated[text] for text in inputs])
    return [[next(texts) for _ in examples.inputs] for examples in several]


def numbers(examples, texts):
    """What a generating run's file says beside its names: dict (results.py)."""
    metrics, per_example = {}, {"row": examples.row, "output": texts}
    for name in examples.run.set.metrics:
        whole, each = measure(name, texts, examples.targets)
        metrics[name] = whole
        per_example[name] = [round(value, 6) for value in each]
    return {"main": examples.run.set.metrics[0], "metrics": metrics, "hits": None, "groups": None,
            "per_example": per_example}  # fmt: skip


def measure(name, texts, targets):
    """(a metric over all texts, its value for each): shares of 1; (None, []) without texts.

    exact_match, f1: SQuAD's, after :func:`normalized`; rouge1, rouge2, rougeL: F-measures of
    rouge_score with stemming, as T5 and FLAN report them; bleu: sacrebleu's of the corpus, each
    text's own by sentence. Raises :class:`UserError` where a package is missing.
    """
    if not texts:
        return None, []
    if name == "bleu":
        return _bleu(texts, targets)
    metric = {"exact_match": exact_match, "f1": f1}.get(name) or _rouge(name)
    each = [float(metric(text, target)) for text, target in zip(texts, targets, strict=True)]
    return sum(each) / len(each), each


def normalized(text):
    """SQuAD's normal form: lower case, no punctuation, no articles, single spaces.

    >>> normalized("The  Eiffel Tower.")
    'eiffel tower'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(text, target):
    """Whether the normal forms are the same."""
    return normalized(text) == normalized(target)


def f1(text, target):
    """Harmonic mean of precision and recall over the words of the normal forms.

    >>> f1("the red house", "house")
    0.6666666666666666
    """
    predicted, expected = normalized(text).split(), normalized(target).split()
    same = sum((Counter(predicted) & Counter(expected)).values())
    if not predicted or not expected:
        return float(predicted == expected)
    return 2 * same / (len(predicted) + len(expected))


def _rouge(name):
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise UserError(f"{name} needs rouge-score: pip install rouge-score") from None
    scorer = RougeScorer([name], use_stemmer=True)
    return lambda text, target: scorer.score(target, text)[name].fmeasure


def _bleu(texts, targets):
    try:
        import sacrebleu
    except ImportError:
        raise UserError("bleu needs sacrebleu: pip install sacrebleu") from None
    each = [sacrebleu.sentence_bleu(text, [target]).score / 100
            for text, target in zip(texts, targets, strict=True)]  # fmt: skip
    return sacrebleu.corpus_bleu(texts, [targets]).score / 100, each
