"""The recipe of one training, and what follows from it alone: phases, policy, canonical form.

Standard library and pydantic only.
"""
