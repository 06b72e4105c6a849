"""Online stores, written and read by the column."""
