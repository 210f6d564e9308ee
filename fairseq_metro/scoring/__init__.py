"""log p(choice | input) of an encoder-decoder, used for rank classification."""

from fairseq_metro.scoring.batches import token_batches
from fairseq_metro.scoring.choices import best, evaluating, score_choices

__all__ = ["best", "evaluating", "score_choices", "token_batches"]
