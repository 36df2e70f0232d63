"""What happens to data on its way to the night, tried on purpose: a small sound delivery and many ways to spoil it."""
