"""Reports from published runs: evidence, predictions, figures, text, pages. No torch."""
