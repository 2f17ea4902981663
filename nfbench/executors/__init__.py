"""Where the groups of a plan are run."""
