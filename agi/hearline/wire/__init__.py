"""HTTP between our processes, and with browsers."""
