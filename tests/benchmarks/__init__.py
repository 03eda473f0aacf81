"""What chartq costs, and how well it keeps a quota, beside what people use otherwise. See docs/benchmarks.md."""
