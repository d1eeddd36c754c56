"""Pictures for people. Needs matplotlib, which the extra `picture` brings; the server never imports it."""
