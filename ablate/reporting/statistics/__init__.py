"""Statistics of studies as pure functions of arrays.

docs/statistics.md says what they assume, and how well they keep their promises.
"""
