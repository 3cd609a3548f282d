"""What is asked: grid files, recipes, trials. Standard library, pydantic and yaml only."""
