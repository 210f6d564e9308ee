"""FLAN's own templates (Wei et al. 2022), from a copy of their file, in promptsource's format."""
