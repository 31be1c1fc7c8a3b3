"""`postmeter demo`: the real relay on a temporary folder, between a shop and a recipient side that are built in."""
