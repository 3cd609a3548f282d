"""Advice on data that are there: facts are read, rules applied, a first study made of them."""
