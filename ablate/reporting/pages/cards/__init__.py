"""Model cards, one for each arm."""
