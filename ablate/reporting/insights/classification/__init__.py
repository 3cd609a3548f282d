"""What predictions say where each image has one label."""
