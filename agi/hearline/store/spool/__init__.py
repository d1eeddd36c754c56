"""An append-only spool on the local disk: what a process has to say about calls, until the ledger has taken it in."""
