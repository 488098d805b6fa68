"""``python -m geventconnpool bench``: what the pool costs here, beside the floor and others."""
