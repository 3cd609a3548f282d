"""One trial from its request to its outcome: tasks, the loop, what a device can do."""
