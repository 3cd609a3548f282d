"""The training loop and what a phase of it is made of."""
