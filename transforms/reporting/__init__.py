"""What people read: the delivery report, and what changed from one snapshot to the next."""
