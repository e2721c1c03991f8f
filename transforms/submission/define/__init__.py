"""Define-XML 2.1 of a package: worked out from specification and snapshot, written, rendered and checked."""
