"""From METRO-T0's Table 5 to commands, configurations and estimates: one table, read by all."""
