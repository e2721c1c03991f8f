"""Submission: what a regulator receives, written from the specification and a finished snapshot."""
