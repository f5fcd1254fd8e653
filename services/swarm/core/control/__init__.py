"""What all nodes of a run conclude alike from committed rounds: combined figures, the next interval, when to stop.

Pure integer rules over what the chain holds, so that every node of every make finds the same.
"""
