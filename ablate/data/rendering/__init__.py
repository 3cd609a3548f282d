"""Flowers drawn from parameters.

`species` has what they look like, `blossom` paints one, `scene` sets it in a place, a pose and a
light.
"""
