"""A supervised geth: its genesis, flags, sealing key, process and administration."""
