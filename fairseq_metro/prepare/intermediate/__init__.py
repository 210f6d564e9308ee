"""Build the prompts of a SMASH task group from raw documents, in fairseq's format."""
