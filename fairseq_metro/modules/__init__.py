"""nn.Modules and functions that know no task: attention, positions, layers, heads, sampling."""
