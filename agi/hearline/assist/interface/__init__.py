"""The only way into agent assist from outside its process: commands, snapshots and streams, over HTTP on a Unix socket.
docs/interface.md describes it for its users."""
