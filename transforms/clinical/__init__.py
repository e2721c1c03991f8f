"""Published clinical scores and grades as pure functions of columns.

Every function takes keyword-only pandas Series that share one index and returns Series with that index. Units stand
in the argument names. Missing in, missing out; an impossible number (a creatinine of 0, an infinite INR) counts as
missing, since the check on the result is where it is reported. Columns that do not belong together or hold something
else than numbers or truth values raise InputError.
"""
