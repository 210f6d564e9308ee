"""Commands, configurations and estimates from METRO-T0's Table 5, all from one table."""
