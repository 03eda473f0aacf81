"""A stand-in for Hugging Face's API on 127.0.0.1, for the demo, for rehearsals and for tests.

    from worker.rehearsal import Behaviour, Rehearsal

    with Rehearsal(Behaviour(latency_s=0.3, budgets=[(30, 5.0)], hints="retry-after")) as server:
        ...                               # point HF_BASE_URL at server.base_url
        server.behave(fault=502)          # from now on
        server.record.with_status(429)    # what it saw

On a command line: `python -m worker.rehearsal --latency 0.3 --budget 30/5s`.
No answer of it is a model's, and every answer says so (header `x-chartq-rehearsal: 1`).
"""

from worker.rehearsal.behaviour import Behaviour, Fault
from worker.rehearsal.record import Call, Record
from worker.rehearsal.request_parser import ParsedRequest
from worker.rehearsal.server import Rehearsal

__all__ = ["Behaviour", "Call", "Fault", "ParsedRequest", "Record", "Rehearsal"]
