"""What predictions say where images have several labels."""
