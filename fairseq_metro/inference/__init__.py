"""Open trained models, generate, and score."""
