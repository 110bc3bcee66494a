"""Mathematics in pure torch: no files, no clock, no logging, no global random state, no orchestration."""
