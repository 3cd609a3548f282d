"""What this machine computes fastest, and with how much memory."""
