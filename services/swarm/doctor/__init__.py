"""Looks at a host, its engine and the paths to other hosts; what is seen is judged in :mod:`swarm.core.doctor`."""
