"""What commands print on the console that the command line made: before, during, after a study."""
