"""What operators ask of a swarm: what its chain recorded, how a run stands, whether a node is ready (nothing of which
can write), and apart from that an operator's own transactions (:mod:`.operator`, :mod:`.reset`, :mod:`.job`)."""
