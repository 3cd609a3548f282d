"""`weights: more`: weights that packages of the extra `more-weights` carry for other purposes.

They are not what timm's names promise, so they are never taken for `auto` in silence.
"""
