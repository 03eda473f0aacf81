"""Questions about another batch's answers: what one is told when the same command is run again."""

from support.producer import Producer
from support.stack import draw_charts


def test_asked_again_it_tells_what_waits_and_what_has_an_answer(user: Producer) -> None:
    """As for charts: queued is what is still to be asked, whenever it was added."""
    source = user.submit(draw_charts(user.folder / "charts", 4))["batch_id"]
    user.answer(source)
    command = ("submit", "--from", source, "-p", "Bullish? {text}", "--json")
    first = user.run(*command).json()
    assert (first["total"], first["queued"], first["cached"]) == (4, 4, 0)
    assert user.run(*command).json() == first
    user.answer(first["batch_id"])
    again = user.run(*command).json()
    assert (again["batch_id"], again["total"], again["queued"], again["cached"]) == (first["batch_id"], 4, 0, 4)
