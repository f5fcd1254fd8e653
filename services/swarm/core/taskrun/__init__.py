"""What a SWOP does about its task runner: pure decisions on what the chain wants and what runs on this host.

:mod:`.views` are the shapes that are read off the chain, :mod:`.work` what a host has and remembers, :mod:`.actions`
what a pass asks for, :mod:`.passes` the pass itself. Each rule says why it is there.
"""
