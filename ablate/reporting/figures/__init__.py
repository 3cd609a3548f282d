"""Figures: which ones a report has, how each is drawn, and how they become files."""
