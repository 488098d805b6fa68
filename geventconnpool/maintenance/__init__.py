"""What the pool's own greenlets do: connect, ping, check, reset, close, watch, supervise."""
