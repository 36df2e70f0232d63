"""What we can show: metrics, drift, attention and the evidence pack, from tables alone."""
