"""chartq, the producer's side and what both sides share. Never imports `worker`."""
