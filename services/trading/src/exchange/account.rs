//! Balances, positions, profit and loss.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::{Fill, Market, Order, Rules, Side};

/// Digits kept where a division does not come out even.
const DIGITS: u32 = 12;

/// Of one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// All of it.
    pub total: Decimal,
    /// For resting orders.
    pub held: Decimal,
}

impl Balance {
    /// Not held.
    #[must_use]
    pub fn free(&self) -> Decimal {
        self.total - self.held
    }
}

/// In one market.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// In the base currency.
    pub quantity: Decimal,
    /// Paid for it, fees included.
    pub cost: Decimal,
    /// From what was sold, fees included.
    pub realized: Decimal,
}

/// Profit and loss in the account's currency.
#[derive(Debug, Clone, PartialEq)]
pub struct Pnl {
    /// Everything owned at last prices.
    pub equity: Decimal,
    /// From what was sold.
    pub realized: Decimal,
    /// From what is held.
    pub unrealized: Decimal,
    /// Paid.
    pub fees: Decimal,
    /// Since the beginning of the UTC day.
    pub day: Decimal,
    /// From the highest equity so far, 0 to 1.
    pub drawdown: Decimal,
}

/// What is owned.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// By currency.
    pub balances: BTreeMap<String, Balance>,
    /// By symbol.
    pub positions: BTreeMap<String, Position>,
    /// At the beginning.
    pub deposit: Decimal,
    /// Paid.
    pub fees: Decimal,
    /// The highest equity so far.
    pub peak_equity: Decimal,
    /// The UTC day that `day_equity` is of.
    pub day: NaiveDate,
    /// At the day's beginning.
    pub day_equity: Decimal,
}

impl Account {
    /// The deposit and nothing else.
    #[must_use]
    pub fn new(rules: &Rules, now: DateTime<Utc>) -> Self {
        let deposit = Balance { total: rules.deposit, held: Decimal::ZERO };
        Self {
            balances: BTreeMap::from([(rules.currency.clone(), deposit)]),
            positions: BTreeMap::new(),
            deposit: rules.deposit,
            fees: Decimal::ZERO,
            peak_equity: rules.deposit,
            day: now.date_naive(),
            day_equity: rules.deposit,
        }
    }

    /// Of a currency.
    #[must_use]
    pub fn balance(&self, currency: &str) -> Balance {
        self.balances.get(currency).copied().unwrap_or_default()
    }

    /// Holds what the rest of a limit order may take.
    pub(super) fn hold(&mut self, market: &Market, order: &Order) {
        let (currency, amount) = claim(market, order);
        self.balances.entry(currency.to_owned()).or_default().held += amount;
    }

    /// Gives back what is held for the rest of a limit order.
    pub(super) fn release(&mut self, market: &Market, order: &Order) {
        let (currency, amount) = claim(market, order);
        self.balances.entry(currency.to_owned()).or_default().held -= amount;
    }

    /// Exchanges what a fill says.
    pub(super) fn apply(&mut self, market: &Market, side: Side, fill: &Fill) {
        let value = fill.price * fill.quantity;
        let position = self.positions.entry(market.symbol.clone()).or_default();
        let (base, quote) = match side {
            Side::Buy => {
                position.quantity += fill.quantity;
                position.cost += value + fill.fee;
                (fill.quantity, -(value + fill.fee))
            }
            Side::Sell => {
                // The last of a position takes all that is left of its cost.
                let cost = if fill.quantity >= position.quantity {
                    position.cost
                } else {
                    (position.cost * fill.quantity / position.quantity).round_dp(DIGITS)
                };
                position.quantity -= fill.quantity;
                position.cost -= cost;
                position.realized += value - fill.fee - cost;
                (-fill.quantity, value - fill.fee)
            }
        };
        self.fees += fill.fee;
        self.balances.entry(market.base.clone()).or_default().total += base;
        self.balances.entry(market.quote.clone()).or_default().total += quote;
    }

    /// Notes a new day and a new height.
    pub(super) fn mark(
        &mut self,
        rules: &Rules,
        now: DateTime<Utc>,
        last: impl Fn(&str) -> Decimal,
    ) {
        let equity = self.equity(rules, &last);
        self.peak_equity = self.peak_equity.max(equity);
        if now.date_naive() != self.day {
            self.day = now.date_naive();
            self.day_equity = equity;
        }
    }

    fn equity(&self, rules: &Rules, last: &impl Fn(&str) -> Decimal) -> Decimal {
        let owned = rules
            .markets
            .iter()
            .map(|market| self.balance(&market.base).total * last(&market.symbol));
        self.balance(&rules.currency).total + owned.sum::<Decimal>()
    }

    /// Profit and loss at the prices of `last`.
    #[must_use]
    pub fn pnl(&self, rules: &Rules, last: impl Fn(&str) -> Decimal) -> Pnl {
        let equity = self.equity(rules, &last);
        let unrealized = self
            .positions
            .iter()
            .map(|(symbol, position)| position.quantity * last(symbol) - position.cost);
        let peak = self.peak_equity.max(equity);
        let drawdown = if peak > Decimal::ZERO {
            ((peak - equity) / peak).round_dp(DIGITS)
        } else {
            Decimal::ZERO
        };
        Pnl {
            equity,
            realized: self.positions.values().map(|position| position.realized).sum(),
            unrealized: unrealized.sum(),
            fees: self.fees,
            day: equity - self.day_equity,
            drawdown,
        }
    }
}

/// What is held for the rest of an order: nothing for market orders, which never rest.
fn claim<'a>(market: &'a Market, order: &Order) -> (&'a str, Decimal) {
    match (order.side, order.limit) {
        (_, None) => (&market.quote, Decimal::ZERO),
        (Side::Buy, Some(limit)) => (&market.quote, market.with_fee(limit * order.remaining())),
        (Side::Sell, Some(_)) => (&market.base, order.remaining()),
    }
}
