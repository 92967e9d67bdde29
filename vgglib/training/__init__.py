"""What `vgglib.train` is made of: updates, the learning rate's schedule, several processes, checkpoints."""
