"""Model families; fairseq imports the folders below here when it loads the plugin."""
