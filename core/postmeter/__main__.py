"""``python -m postmeter``."""

from postmeter.cli import main

main()
