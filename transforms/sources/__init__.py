"""Readers: the bytes of an extract as columns of text, each row knowing its line."""
