"""The store: tables and plain blocking functions that take a Session; nothing here knows the reactor."""
