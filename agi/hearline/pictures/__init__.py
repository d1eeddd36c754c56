"""Pictures for people. Needs matplotlib, from the extra `picture`; the server never imports this room."""
