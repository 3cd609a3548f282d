"""What is learned: a task knows its loss and its scores, and nothing of networks or loops."""
