"""Messages: envelope, header section, DKIM signature; pure functions over bytes."""
