"""The pages of a person: log-in, profile, and the ways in for those who have no login yet."""
