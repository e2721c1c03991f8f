"""The gate between dose cohorts: when a cohort is ready, what was decided, and dosing outside of it."""
