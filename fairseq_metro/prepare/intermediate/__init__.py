"""Raw documents to the prompts of a SMASH task group, as fairseq reads them."""
