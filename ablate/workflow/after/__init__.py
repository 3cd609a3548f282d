"""What is made of studies that were run: reports, states, comparisons, caches."""
