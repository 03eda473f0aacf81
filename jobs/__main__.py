"""`python -m jobs`: the producer's half of chartq, without the worker's libraries."""

from jobs.cli.main import producer, run

if __name__ == "__main__":
    run(producer)
