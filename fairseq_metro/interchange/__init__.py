"""The authors' files and ours: vocabularies, training checkpoints, Hugging Face folders."""
