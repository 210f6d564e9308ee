"""The choices in which METRO-T0's paper and its released code differ, as two recipes.

``--recipe paper`` (default) or ``--recipe release``. A choice of the model is filled in by the
architecture function, so an option on the command line still wins and the checkpoint holds what
was used. The others have no option of their own.

============================  ============================  ===================================
choice                        paper                         release
============================  ============================  ===================================
mlm_head                      one linear map (A.2)          dense, ReLU, LayerNorm, tied, bias
auxiliary_dropout             0.1, as everywhere (Table 5)  0
share_auxiliary               token table (section 5)       base, large++: the same; base++: also
                                                            positions and the embeddings' norm
buckets, distance of large++  64, 128 (Table 5)             128, 256
initialization                not given: embeddings 0.02    (2 V)^-1/2 tokens, (2 C)^-1/2 uniform
masking                       a mask for each token (A.2),  80 % mask, 10 % kept, 10 % random of
                              never a special token; T5's   all tokens, special ones included;
                              spans likewise                T5's spans mask these as well
long lines                    split at the limit            a random crop of each, in training
one_token_blocks              left out: nothing to mask     kept, but by complete_doc
weighted_lm_loss              no (equation 12)              base: CLM rows weighted by the RTD
                                                            probability of "replaced"
rtd_denominator               data: a mean over the epoch   batch: a mean over a batch's tokens
passages of an MMLU question  five (A.8)                    ten (its evaluation script)
============================  ============================  ===================================
"""

RECIPES = PAPER, RELEASE = ("paper", "release")
MOST_PASSAGES = {PAPER: 5, RELEASE: 10}

_PAPER = dict(
    mlm_head="linear",
    auxiliary_dropout=None,
    share_auxiliary="token",
    initialization="paper",
    masking="mask",
    long_lines="split",
    one_token_blocks="drop",
    weighted_lm_loss=False,
    rtd_denominator="data",
)
_RELEASE = dict(
    mlm_head="transform",
    auxiliary_dropout=0.0,
    share_auxiliary="token",
    initialization="release",
    masking="80_10_10",
    long_lines="random_crop",
    one_token_blocks="keep",
    weighted_lm_loss=True,
    rtd_denominator="batch",
)
_RELEASE_OF_SIZE = {
    "basepp": dict(share_auxiliary="token_pos_norm", weighted_lm_loss=False),
    "largepp": dict(
        relative_position_buckets=128, relative_position_max_distance=256, weighted_lm_loss=False
    ),
}


def choices(recipe, size):
    """The choices of a recipe for a size (``base``, ``largepp``, …) as a new dict."""
    if recipe == "paper":
        return dict(_PAPER)
    return {**_RELEASE, **_RELEASE_OF_SIZE.get(size, {})}
