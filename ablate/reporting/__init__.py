"""Reports from published runs: evidence (tables and comparisons), predictions, figures, text, pages. No torch."""
