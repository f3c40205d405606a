"""Abuse of each kind: below the limit, clear, gross, and the clear form slowed down.

Each function plays its abuse inside a day of ordinary trading; `ABUSERS` are the two participants
who do it. The first form is what the limits let pass by design: it shows where they lie. The last
is what an abuser does who knows that windows end: it shows what is missed.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.surveillance.ordinary import Ordinary
from benchmarks.surveillance.stage import Stage, account
from exchange.messages.frames import Phase, Side

ABUSERS = (10, 11)
ONE, ONE_MORE, OTHER = account(10), account(10, 2), account(11)
STRENGTHS = ("weak", "clear", "gross")
SLOW = "slow"
SLOW_PACE = 15  # times as slow as the clear form
PAUSE = 8  # moments of ordinary trading between two acts


def meet(stage: Stage, day: Ordinary, seller: int, buyer: int, tonnes: int, price: int = 0) -> None:
    """Two orders inside the spread that can only meet each other."""
    day.refresh()
    price = min(max(price or day.mid, day.mid - 4), day.mid + 4)
    stage.order(seller, Side.SELL, tonnes, price)
    stage.wait(0.3)
    stage.take(buyer, Side.BUY, tonnes, price)


def wash_trade(stage: Stage, day: Ordinary, strength: int) -> None:
    """One participant, two accounts, one way."""
    for _ in range((2, 4, 12)[strength]):
        meet(stage, day, ONE, ONE_MORE, 60)
        day.steps(PAUSE)


def cross_account(stage: Stage, day: Ordinary, strength: int) -> None:
    """And back again."""
    for _ in range((1, 2, 6)[strength]):
        meet(stage, day, ONE, ONE_MORE, 80)
        day.steps(PAUSE)
        meet(stage, day, ONE_MORE, ONE, 80)
        day.steps(PAUSE)


def circular_trading(stage: Stage, day: Ordinary, strength: int) -> None:
    """Sold to a friend, bought back at the same price."""
    price = day.mid
    for _ in range((1, 2, 6)[strength]):
        meet(stage, day, ONE, OTHER, 120, price)
        day.steps(2)
        meet(stage, day, OTHER, ONE, 120, price)
        day.steps(2)


def matched_orders(stage: Stage, day: Ordinary, strength: int) -> None:
    """Two participants who agreed beforehand, always the same way."""
    for _ in range((2, 4, 10)[strength]):
        day.refresh()
        stage.order(ONE, Side.SELL, 250, day.mid)
        stage.wait(0.5)
        stage.order(OTHER, Side.BUY, 250, day.mid)
        day.steps(PAUSE)


def layering(stage: Stage, day: Ordinary, strength: int) -> None:
    """Four orders to sell above the market, a purchase, and they are gone."""
    for _ in range((1, 3, 8)[strength]):
        load = [stage.order(ONE, Side.SELL, 100, day.mid + 10 + rung) for rung in range(4)]
        stage.wait(1)
        stage.take(ONE, Side.BUY, 20, day.mid + 9)
        stage.wait(1)
        for order_id in load:
            stage.cancel(ONE, order_id)
        day.steps(PAUSE)


def spoofing(stage: Stage, day: Ordinary, strength: int) -> None:
    """The same with one order that is larger than all others."""
    for _ in range((1, 3, 8)[strength]):
        load = stage.order(ONE, Side.BUY, 900, day.mid - 12)
        stage.wait(1)
        stage.take(ONE, Side.SELL, 30, day.mid - 9)
        stage.wait(1)
        stage.cancel(ONE, load)
        day.steps(PAUSE)


def quote_stuffing(stage: Stage, day: Ordinary, strength: int) -> None:
    """Orders that come and go hundreds of times a second."""
    for _ in range((100, 300, 1_000)[strength]):
        stage.cancel(ONE, stage.order(ONE, Side.BUY, 10, day.mid - 40))


def order_to_trade(stage: Stage, day: Ordinary, strength: int) -> None:
    """The same over the whole day, slowly, with a single trade."""
    stage.take(ONE, Side.BUY, 10, day.mid + 20)
    for number in range((200, 700, 2_000)[strength]):
        stage.cancel(ONE, stage.order(ONE, Side.BUY, 10, day.mid - 30))
        stage.wait(0.2)
        if number % 20 == 0:
            day.step()


def marking_the_close(stage: Stage, day: Ordinary, strength: int) -> None:
    """In the last seconds up through the book."""
    day.steps(300)
    stage.wait(400)
    day.steps(60)
    for _ in range(3):
        stage.take(ONE, Side.BUY, (20, 700, 1_000)[strength], day.mid + 200)
        stage.wait(2)


def indicative_price(stage: Stage, day: Ordinary, strength: int) -> None:
    """A large order into the closing call, shown, and out again."""
    stage.phase(Phase.CLOSING_CALL)
    stage.order(account(3), Side.BUY, 200, day.mid + 12)
    stage.order(account(4), Side.SELL, 200, day.mid - 12)
    stage.tick()
    stage.wait(20)
    order_id = stage.order(ONE, Side.BUY, (60, 1_200, 3_000)[strength], day.mid + 300)
    stage.tick()
    stage.wait(30)
    stage.cancel(ONE, order_id)
    stage.tick()
    stage.wait(10)


def momentum_ignition(stage: Stage, day: Ordinary, strength: int) -> None:
    """Up through the book, and sold to those who followed."""
    before = day.mid
    for _ in range(4):
        stage.take(ONE, Side.BUY, (40, 300, 600)[strength], before + 240)
        stage.wait(5)
    day.mid = stage.last_price - 7
    for _ in range(8):
        for maker in (1, 2):
            day.requote(maker, 120)
        stage.wait(10)
        stage.take(ONE, Side.SELL, (20, 160, 320)[strength], day.mid - 7)


def dominant_side(stage: Stage, day: Ordinary, strength: int) -> None:
    """All day the one buyer, and the price follows."""
    for _ in range(40):
        stage.take(ONE, Side.BUY, (20, 150, 400)[strength], day.mid + 60)
        day.mid += (0, 6, 6)[strength]
        day.requote(1, 120)
        day.requote(2, 120)
        day.steps(1)


def block_off_market(stage: Stage, day: Ordinary, strength: int) -> None:
    """A negotiated trade at another price than the market's."""
    away = (200, 700, 2_000)[strength]
    stage.block(ONE, OTHER, 5_000, day.mid - day.mid * away // 10_000)


def large_position(stage: Stage, day: Ordinary, strength: int) -> None:
    """Two weeks before the day to surrender: judged when the next day starts."""
    stage.deposit(ONE, (6_000_000, 20_000_000, 100_000_000)[strength])


def large_holder(stage: Stage, day: Ordinary, strength: int) -> None:
    """One who may hold 10 Mt gathers units."""
    stage.bound(ONE, 10_000_000)
    stage.deposit(ONE, (6_000_000, 8_500_000, 9_900_000)[strength])


def act(kind: str, form: str, stage: Stage, day: Ordinary) -> None:
    """Plays a kind in one of its forms."""
    if form != SLOW:
        ABUSE[kind](stage, day, STRENGTHS.index(form))
        return
    stage.pace = SLOW_PACE
    ABUSE[kind](stage, day, STRENGTHS.index("clear"))
    stage.pace = 1


Play = Callable[[Stage, Ordinary, int], None]
ABUSE: dict[str, Play] = {
    "WASH_TRADE": wash_trade,
    "CROSS_ACCOUNT": cross_account,
    "CIRCULAR_TRADING": circular_trading,
    "MATCHED_ORDERS": matched_orders,
    "LAYERING": layering,
    "SPOOFING": spoofing,
    "QUOTE_STUFFING": quote_stuffing,
    "ORDER_TO_TRADE": order_to_trade,
    "MARKING_THE_CLOSE": marking_the_close,
    "INDICATIVE_PRICE": indicative_price,
    "MOMENTUM_IGNITION": momentum_ignition,
    "DOMINANT_SIDE": dominant_side,
    "BLOCK_OFF_MARKET": block_off_market,
    "LARGE_POSITION": large_position,
    "LARGE_HOLDER": large_holder,
}
