"""`python -m worker.health`: what probes of containers run. The same as `chartq health`, with fewer libraries."""

from worker.cli.health_command import main

if __name__ == "__main__":
    main()
