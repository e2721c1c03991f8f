"""The commands of ./cairn, each a thin call of a function that can be tested without it."""
