"""What commands say on the console that the command line made: before a study, while it runs, and after it."""
