"""Where resources live: a folder or a server, and the journal."""
