"""The runtime's doors: HTTP, JSON-RPC and a socket of the user's own. Needs the extra `serve`."""
