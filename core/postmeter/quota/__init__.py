"""Quota rules as pure functions: which block pays, what may be booked, when it ends."""
