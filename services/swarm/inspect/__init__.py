"""Read-only views of a swarm for people: what its chain recorded, how a run stands, whether a node is ready."""
