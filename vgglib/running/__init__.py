"""What `vgglib.runner` is made of: tasks, the workers that do them, what they record, and how far they are."""
