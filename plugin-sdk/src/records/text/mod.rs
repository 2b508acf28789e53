//! Records of `Key: value` lines: jobs, summaries, sync and cloud records.
