"""What commands show of a study without training it: shared passes, estimates, views, LR ranges."""
