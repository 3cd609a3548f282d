"""What stored predictions say: each run's read once, digested by task, and the images that a person should look at."""
