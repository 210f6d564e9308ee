"""What a run did: its log read back, its progress shown, its curves drawn, its result summed up."""
