"""What a training program imports to take part in a swarm."""
