"""What is wrong on a host, or between sites, before anything trains: judged from facts, nothing is looked at here."""
