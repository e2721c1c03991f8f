"""Rules as data, checked by Great Expectations on frames: which rows breach which rule."""
