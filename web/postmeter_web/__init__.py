"""The panel: a Flask application over the store, found by the relay as a plugin."""
