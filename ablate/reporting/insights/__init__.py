"""What predictions say, task by task: one folder a task, two protocols, a registry."""
