"""What every node process wires the same way: its chain client's journal, its link to an SN, joining the swarm."""
