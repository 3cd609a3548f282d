"""Weights of a backbone: where they come from, how a file is read, and whether they fit."""
