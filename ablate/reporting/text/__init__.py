"""Sentences and Markdown of report and cards: results in, text out."""
