"""A pretrained network prepared for one recipe.

Backbone, units, weights, freeze boundary, adapters, parameter groups, delta.
"""
