"""How our processes speak over HTTP, with each other and with browsers."""
