"""What a SWOP decides without touching anything: containers of a pair, their names, and how they stand.

:mod:`.containers` is the vocabulary that every runtime understands, :mod:`.devices` reads a profile's options for
devices, :mod:`.pairs` makes the containers of a pair and tells its state from them. What is run where is
:mod:`swarm.core.taskrun`'s, carrying it out :mod:`swarm.swop`'s.
"""
