"""How we learn: attention, histories, models and their training."""
