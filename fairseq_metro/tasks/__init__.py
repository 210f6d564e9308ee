"""Tasks: wiring of data, model and criterion. fairseq imports every file here with the plugin."""
