"""What stock fairseq's training does otherwise than this package needs."""
