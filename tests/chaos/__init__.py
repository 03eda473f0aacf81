"""The chaos run: real workers, a real Redis and store, and everything that can happen to them. See docs/chaos.md."""
