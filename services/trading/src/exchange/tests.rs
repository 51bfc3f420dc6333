//! The exchange keeps its books, whatever is done to it.

use proptest::prelude::*;

use super::*;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn market() -> Market {
    Market {
        symbol: "BTC/USDT".to_owned(),
        base: "BTC".to_owned(),
        quote: "USDT".to_owned(),
        tick: dec("0.01"),
        lot: dec("0.00001"),
        maker_fee: dec("0.0005"),
        taker_fee: dec("0.001"),
        start_price: dec("60000"),
        depth: dec("0.5"),
        volatility: dec("0.001"),
    }
}

fn rules() -> Rules {
    Rules {
        currency: "USDT".to_owned(),
        deposit: dec("10000"),
        markets: vec![market()],
        limits: Limits {
            max_order_value: dec("100000"),
            max_position_value: dec("100000"),
            max_daily_loss: dec("10000"),
            max_open_orders: dec("100"),
        },
        alerts: Thresholds { max_drawdown: dec("0.05"), max_daily_loss: dec("500") },
    }
}

fn exchange() -> Exchange {
    Exchange::new(rules(), now())
}

fn order(side: Side, quantity: &str, limit: Option<&str>) -> Order {
    Order {
        id: Uuid::now_v7(),
        client_order_id: String::new(),
        symbol: "BTC/USDT".to_owned(),
        side,
        quantity: dec(quantity),
        limit: limit.map(dec),
        filled: Decimal::ZERO,
        value: Decimal::ZERO,
        fees: Decimal::ZERO,
        state: State::Open,
        agent: String::new(),
        run_id: String::new(),
        created_at: now(),
        updated_at: now(),
    }
}

#[test]
fn a_market_order_walks_the_book_and_pays_fees() {
    let mut exchange = exchange();
    let changes = exchange.place(order(Side::Buy, "0.12", None)).unwrap();
    let placed = &changes.orders[0];
    assert_eq!((placed.state, placed.filled), (State::Filled, dec("0.12")));
    // The best level holds a tenth of the depth: 0.05 BTC.
    assert_eq!(changes.fills[0].quantity, dec("0.05"));
    assert!(changes.fills.len() > 1 && changes.fills[1].price > changes.fills[0].price);
    assert_eq!(placed.fees, placed.value * dec("0.001"));
    let account = exchange.account();
    assert_eq!(account.balance("BTC").total, dec("0.12"));
    assert_eq!(account.balance("USDT").total, dec("10000") - placed.value - placed.fees);
}

#[test]
fn a_limit_order_rests_is_filled_in_part_and_then_whole() {
    let mut exchange = exchange();
    let placed = exchange.place(order(Side::Buy, "0.1", Some("59000"))).unwrap().orders.remove(0);
    assert_eq!((placed.state, placed.filled), (State::Open, Decimal::ZERO));
    assert_eq!(exchange.account().balance("USDT").held, dec("5905.9"), "0.1 × 59,000 and the fee");

    // The price comes down so that only the best level crosses.
    let changes = exchange.tick(&[("BTC/USDT".to_owned(), dec("58998.82"))], now());
    let part = &changes.orders[0];
    assert_eq!((part.state, part.filled), (State::PartiallyFilled, dec("0.05")));
    assert!(changes.fills.iter().all(|fill| fill.price == dec("59000") && !fill.taker));
    let changes = exchange.tick(&[("BTC/USDT".to_owned(), dec("58000"))], now());
    assert_eq!(changes.orders[0].state, State::Filled);
    assert_eq!(exchange.account().balance("USDT").held, Decimal::ZERO);
    assert_eq!(exchange.open_orders().count(), 0);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut exchange = exchange();
    let before = exchange.account().clone();
    let mut unknown = order(Side::Buy, "1", None);
    unknown.symbol = "DOGE/USDT".to_owned();
    assert!(matches!(exchange.place(unknown), Err(Refusal::UnknownSymbol { .. })));
    let odd = exchange.place(order(Side::Buy, "0.000001", None));
    assert!(matches!(odd, Err(Refusal::Invalid { field: "quantity", .. })));
    let dear = exchange.place(order(Side::Buy, "1", Some("60000")));
    assert!(matches!(dear, Err(Refusal::Funds { .. })));
    let short = exchange.place(order(Side::Sell, "0.1", None));
    assert!(matches!(short, Err(Refusal::Funds { .. })));
    let large = exchange.place(order(Side::Buy, "2", Some("60000")));
    assert!(matches!(large, Err(Refusal::Limit { limit: "max_order_value", .. })));
    assert_eq!(exchange.account(), &before);
}

#[test]
fn a_cancelled_order_gives_back_what_it_held() {
    let mut exchange = exchange();
    let placed = exchange.place(order(Side::Buy, "0.1", Some("50000"))).unwrap().orders.remove(0);
    exchange.cancel(placed.id, now()).unwrap();
    assert_eq!(exchange.account().balance("USDT").free(), dec("10000"));
    assert_eq!(exchange.cancel(placed.id, now()), Err(Refusal::NoOrder(placed.id)));
}

#[test]
fn a_loss_raises_an_alert_once_and_its_end_is_told() {
    let mut exchange = exchange();
    exchange.place(order(Side::Buy, "0.12", None)).unwrap();
    let falls = |price: &str| [("BTC/USDT".to_owned(), dec(price))];
    let names = |changes: &Changes| {
        changes.alerts.iter().map(|alert| (alert.name, alert.resolved)).collect::<Vec<_>>()
    };
    let changes = exchange.tick(&falls("54000"), now());
    assert_eq!(names(&changes), [("max_drawdown", false), ("max_daily_loss", false)]);
    assert!(exchange.tick(&falls("53900"), now()).alerts.is_empty(), "told once");
    let changes = exchange.tick(&falls("60500"), now());
    assert_eq!(names(&changes), [("max_drawdown", true), ("max_daily_loss", true)]);
}

#[test]
fn a_feed_is_the_same_for_the_same_seed_and_a_recording_is_checked() {
    let walk = |seed| {
        let mut feed = Feed::generated(seed, vec![market()]);
        (0..50).map(|_| feed.tick()).collect::<Vec<_>>()
    };
    assert_eq!(walk(1), walk(1));
    assert_ne!(walk(1), walk(2));
    assert!(walk(1).iter().flatten().all(|(_, price)| (price % dec("0.01")).is_zero()));

    let markets = [market()];
    let text = "timestamp,symbol,price\n1,BTC/USDT,60000\n2,BTC/USDT,60001.5\n";
    let mut feed = Feed::recorded(text, &markets).unwrap();
    let prices: Vec<_> = (0..3).map(|_| feed.tick()[0].1).collect();
    assert_eq!(prices, [dec("60000"), dec("60001.5"), dec("60000")]);
    assert!(Feed::recorded("1,X/USDT,1", &markets).unwrap_err().starts_with("line 1: `X/USDT`"));
    assert!(Feed::recorded("", &markets).is_err());
}

#[derive(Debug, Clone)]
enum Move {
    Place(bool, u32, Option<i32>),
    CancelOldest,
    Tick(i32),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let place = (any::<bool>(), 1_u32..20_000, prop::option::of(-300_i32..300))
        .prop_map(|(buy, lots, limit)| Move::Place(buy, lots, limit));
    let tick = (-200_i32..200).prop_map(Move::Tick);
    prop::collection::vec(prop_oneof![4 => place, 1 => Just(Move::CancelOldest), 3 => tick], 1..80)
}

proptest! {
    #[test]
    fn money_is_neither_made_nor_lost(moves in moves()) {
        let mut exchange = exchange();
        let mut price = dec("60000");
        let mut fills: Vec<(Side, Fill)> = Vec::new();
        for step in moves {
            let changes = match step {
                Move::Place(buy, lots, offset) => {
                    let side = if buy { Side::Buy } else { Side::Sell };
                    let mut new = order(side, "1", None);
                    new.quantity = Decimal::from(lots) * dec("0.00001");
                    new.limit = offset.map(|offset| price + Decimal::from(offset));
                    exchange.place(new).unwrap_or_default()
                }
                Move::CancelOldest => {
                    let oldest = exchange.open_orders().next().map(|order| order.id);
                    oldest.and_then(|id| exchange.cancel(id, now()).ok()).unwrap_or_default()
                }
                Move::Tick(change) => {
                    price = (price + Decimal::from(change)).max(dec("1000"));
                    exchange.tick(&[("BTC/USDT".to_owned(), price)], now())
                }
            };
            for fill in changes.fills {
                let of = changes.orders.iter().find(|order| order.id == fill.order_id).unwrap();
                fills.push((of.side, fill));
            }
            for changed in &changes.orders {
                prop_assert!(changed.filled <= changed.quantity);
            }

            let account = exchange.account();
            for balance in account.balances.values() {
                prop_assert!(balance.held >= Decimal::ZERO && balance.free() >= Decimal::ZERO);
            }
            // Held is just what open orders may take.
            let market = market();
            let held = |side| -> Decimal {
                let open = exchange.open_orders().filter(|order| order.side == side);
                open.map(|order| match side {
                    Side::Buy => market.with_fee(order.limit.unwrap() * order.remaining()),
                    Side::Sell => order.remaining(),
                }).sum()
            };
            prop_assert_eq!(account.balance("USDT").held, held(Side::Buy));
            prop_assert_eq!(account.balance("BTC").held, held(Side::Sell));
            // Balances are the deposit and the sum of all fills.
            let (mut usdt, mut btc) = (dec("10000"), Decimal::ZERO);
            for (side, fill) in &fills {
                let value = fill.price * fill.quantity;
                match side {
                    Side::Buy => { usdt -= value + fill.fee; btc += fill.quantity; }
                    Side::Sell => { usdt += value - fill.fee; btc -= fill.quantity; }
                }
            }
            prop_assert_eq!(account.balance("USDT").total, usdt);
            prop_assert_eq!(account.balance("BTC").total, btc);
            // Profit is what equity has beyond the deposit.
            let pnl = exchange.pnl();
            prop_assert_eq!(pnl.equity - dec("10000"), pnl.realized + pnl.unrealized);
        }
    }
}
