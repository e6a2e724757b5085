"""What does the runs of an experiment: this machine or a cluster, the queue, and the records of what was done."""
