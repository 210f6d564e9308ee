"""What every room may use: errors, files, logs, stamps, YAML, sources of text."""
