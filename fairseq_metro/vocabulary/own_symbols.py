"""The symbols after the pieces of our vocabularies, in order, and their roles."""

MASK = "<mask>"
SENTINELS = [f"<sen{i:03d}>" for i in range(1, 129)]
OWN_SYMBOLS = [MASK, *SENTINELS]
OWN_ROLES = {
    "mask": MASK,
    "pretraining_decoder_start": MASK,
    "decoder_start": "</s>",
    "end_of_target": "</s>",
    "sentinels": SENTINELS,
}
