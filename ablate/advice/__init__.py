"""What to try first on given images and a given computer: rules from facts to a recommendation."""
