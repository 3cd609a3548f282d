"""A pretrained network prepared for one recipe: backbone, units, weights, freeze boundary, adapters, parameter groups, delta."""
