"""Grid files: read, checked, and expanded into arms and trials.

Standard library, pydantic and yaml only.
"""
