"""Few-shot tasks derived from any documents: what is known of their sentences becomes the label."""
