"""chartq, the consumer's side: the Hugging Face client, the RQ worker, the command line."""
