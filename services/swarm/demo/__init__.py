"""``swarm demo``: a whole swarm of real processes on one machine, shown while it trains, judged at the end."""
