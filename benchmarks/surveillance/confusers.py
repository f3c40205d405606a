"""Honest trading that looks like abuse at first sight: no alert about it is right."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.surveillance.abuse import meet
from benchmarks.surveillance.ordinary import Ordinary
from benchmarks.surveillance.stage import Stage, account
from exchange.messages.frames import Phase, Side

WHO, WHO_ELSE, FRIEND = account(10), account(10, 2), account(11)


def maker_requotes(stage: Stage, day: Ordinary) -> None:
    """A maker moves both sides five times a second for a minute and is hit now and then."""
    for number in range(300):
        day.requote(1, 100)
        stage.wait(0.19)
        if number % 15 == 0:
            day.take()


def maker_partly_filled(stage: Stage, day: Ordinary) -> None:
    """A small fill on one side; the other side is moved at once."""
    for _ in range(20):
        day.requote(1, 500)
        stage.take(account(3), Side.BUY, 5, day.mid + 6)
        stage.wait(0.5)
        day.requote(1, 500)
        day.steps(2)


def sweep_and_keep(stage: Stage, day: Ordinary) -> None:
    """A member needs much at once, pays for it, and keeps it."""
    for _ in range(4):
        stage.take(WHO, Side.BUY, 300, day.mid + 240)
        stage.wait(5)
    day.steps(200)


def patient_seller(stage: Stage, day: Ordinary) -> None:
    """A large seller's orders wait, some trade, the rest is cancelled at noon."""
    for _ in range(4):
        load = [stage.order(WHO, Side.SELL, 100, day.mid + 4 + rung) for rung in range(4)]
        for _ in range(3):
            stage.take(account(5), Side.BUY, 40, day.mid + 5)
            stage.wait(2)
        for order_id in load:
            stage.cancel(WHO, order_id)
        day.steps(5)


def change_of_mind(stage: Stage, day: Ordinary) -> None:
    """Orders to sell, then the news: bought instead, and the orders taken back, once."""
    load = [stage.order(WHO, Side.SELL, 100, day.mid + 10 + rung) for rung in range(4)]
    day.steps(3)
    stage.take(WHO, Side.BUY, 40, day.mid + 9)
    for order_id in load:
        stage.cancel(WHO, order_id)


def round_lots(stage: Stage, day: Ordinary) -> None:
    """A client takes a maker's fresh quote whole, again and again: everybody trades 100 t."""
    for _ in range(10):
        day.requote(1, 100)
        stage.wait(0.4)
        stage.take(WHO, Side.BUY, 100, day.mid + 6)
        day.steps(4)


def both_ways_with_a_maker(stage: Stage, day: Ordinary) -> None:
    """A client buys from a maker and sells to it, and pays the spread each time."""
    for _ in range(10):
        stage.take(WHO, Side.BUY, 50, day.mid + 12)
        day.steps(4)
        stage.take(WHO, Side.SELL, 50, day.mid - 12)
        day.steps(4)


def two_funds_buy(stage: Stage, day: Ordinary) -> None:
    """Two accounts of a member buy the same day."""
    for _ in range(15):
        stage.take(WHO, Side.BUY, 30, day.mid + 12)
        stage.take(WHO_ELSE, Side.BUY, 30, day.mid + 12)
        day.steps(4)


def met_by_chance(stage: Stage, day: Ordinary) -> None:
    """Two desks of one member meet twice in a day."""
    for _ in range(2):
        meet(stage, day, WHO, WHO_ELSE, 40)
        day.steps(40)


def hedger_at_the_close(stage: Stage, day: Ordinary) -> None:
    """Buys much in the last minutes, and waits for sellers rather than move the price."""
    for _ in range(40):
        order_id = stage.order(WHO, Side.BUY, 60, day.mid - 1)
        stage.take(account(6), Side.SELL, 60, day.mid - 6)
        day.steps(2)
        stage.cancel(WHO, order_id)


def order_leaves_a_call(stage: Stage, day: Ordinary) -> None:
    """An order into the closing call and out again; the price stays."""
    stage.phase(Phase.CLOSING_CALL)
    stage.order(account(3), Side.BUY, 800, day.mid + 12)
    stage.order(account(4), Side.SELL, 800, day.mid - 12)
    stage.tick()
    stage.wait(20)
    order_id = stage.order(WHO, Side.BUY, 500, day.mid + 2)
    stage.tick()
    stage.wait(20)
    stage.cancel(WHO, order_id)
    stage.tick()


def block_near_the_market(stage: Stage, day: Ordinary) -> None:
    """Large blocks, a percent or two below the market, as is usual."""
    for away in (50, 100, 200, 300):
        stage.block(WHO, FRIEND, 20_000, day.mid - day.mid * away // 10_000)
        day.steps(10)


def busy_and_trading(stage: Stage, day: Ordinary) -> None:
    """Many messages, and a trade for every ten of them."""
    for _ in range(60):
        for _ in range(5):
            stage.cancel(WHO, stage.order(WHO, Side.BUY, 10, day.mid - 20))
        stage.take(WHO, Side.BUY, 5, day.mid + 12)
        day.step()


def only_traders(stage: Stage, day: Ordinary) -> None:
    """Nothing but the ordinary day."""
    day.steps(400)


Honest = Callable[[Stage, Ordinary], None]
CONFUSERS: tuple[Honest, ...] = (
    only_traders, maker_requotes, maker_partly_filled, sweep_and_keep, patient_seller,
    change_of_mind, round_lots, both_ways_with_a_maker, two_funds_buy, met_by_chance,
    hedger_at_the_close, order_leaves_a_call, block_near_the_market, busy_and_trading,
)  # fmt: skip
