"""Pretrained variants: METRO-T5, T5, METRO-T0's Table 4 and figure 3a, and our follow-ups."""

OPTIONS = {  # of the pretraining scripts; the plain "metro" and "t5" need none
    "all-positions": ("--clm-positions", "all"),
    "copy": ("--copy-mechanism",),
    "rtd-decoder": ("--rtd-on", "decoder"),
    "rtd-decoder-projection": ("--rtd-on", "decoder", "--clm-head", "projection"),
    # figure 3a's strong clipping; how strong the paper does not say
    "rtd-decoder-clip": ("--rtd-on", "decoder", "--clip-norm", "0.1"),
    "projection": ("--clm-head", "projection"),
    "span": ("--mask-pattern", "span"),
    "t5-all-tokens": ("--decoding-target", "all"),
    # Follow-ups of a claim that does not show at a small scale
    "lambda-rtd-10": ("--lambda-rtd", "10"),
    "two-layer-auxiliary": ("--auxiliary-layers", "2"),
    "temperature-0.5": ("--auxiliary-temperature", "0.5"),
}


def objective_of(variant):
    """ "metro_t5" or "t5": the task by which a variant is pretrained.

    >>> objective_of("rtd-decoder"), objective_of("t5-all-tokens")
    ('metro_t5', 't5')
    """
    return "t5" if variant.startswith("t5") else "metro_t5"


def script_of(variant):
    """The file of train_scripts/ that pretrains a variant."""
    return "pretrain_t5.sh" if objective_of(variant) == "t5" else "pretrain_metro.sh"
