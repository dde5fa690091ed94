"""The Runner: says how long a task will take."""
