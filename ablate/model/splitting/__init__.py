"""A network that runs in two parts, divided at the freeze boundary: prefix and suffix."""
