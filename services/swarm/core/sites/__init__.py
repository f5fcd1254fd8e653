"""Sites of a swarm from one inventory: what each gets as its join bundle. Pure; files are written by ``inspect``."""
