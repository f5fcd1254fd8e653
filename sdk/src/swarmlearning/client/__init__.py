"""The swarm client: callback base and the pipe to the SL node."""
