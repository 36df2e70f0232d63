"""The settings of a run, a group of them a file: typed, bounded, immutable."""
