"""SWCI: the operator's shell over a swarm; one table of commands, and the faces that take them."""
