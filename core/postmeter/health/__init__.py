"""Whether everything the relay needs is as it should be, and what the world outside makes of its mail."""
