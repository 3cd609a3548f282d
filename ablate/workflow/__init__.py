"""What a command does, step by step: prepare a study, run it, report it. Prints nothing."""
