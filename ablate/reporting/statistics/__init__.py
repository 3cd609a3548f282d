"""Statistics of studies as pure functions of arrays.

What they assume is written in docs/statistics.md, how well they keep their promises as well.
"""
