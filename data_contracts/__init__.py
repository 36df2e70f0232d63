"""What the data must be: one contract a table, readers, checks and the simulated market."""
