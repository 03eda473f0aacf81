"""What runs in the peers' own environment. Nothing here imports chartq, or more than one of the peers."""
