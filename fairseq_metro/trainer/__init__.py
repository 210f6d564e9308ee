"""Changes to stock fairseq's training that this package needs."""
