"""What a SWOP does about its task runner: pure decisions on what the chain wants and what runs on this host.

:mod:`.work` is what a host has and remembers, :mod:`.actions` what a pass asks for, :mod:`.passes` the pass itself;
:mod:`.asking` is the operator's side. What the chain shows is :mod:`swarm.core.taskview`'s.
"""
