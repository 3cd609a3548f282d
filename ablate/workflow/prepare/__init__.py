"""Everything that happens before a study starts: data, networks, machines, checks."""
