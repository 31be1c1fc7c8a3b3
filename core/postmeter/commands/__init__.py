"""The commands, one module per subject; each has ``register(group)``, which adds its commands to `postmeter`."""
