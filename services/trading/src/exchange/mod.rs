//! The paper exchange: plain arithmetic, no clock, no store. Every amount is an exact decimal.

mod account;
mod book;
mod feed;
mod rules;

pub use account::{Account, Balance, Pnl, Position};
pub use book::{Book, Level};
pub use feed::Feed;
pub use rules::{Limits, Market, Rules, Thresholds};

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Take the base currency.
    Buy,
    /// Give it.
    Sell,
}

/// How an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Rests in the book, nothing filled.
    Open,
    /// Rests in the book, partly filled.
    PartiallyFilled,
    /// Done.
    Filled,
    /// Ended before it was filled.
    Cancelled,
}

impl State {
    /// Whether it still rests in the book.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::PartiallyFilled)
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its id; ids sort by time.
    pub id: Uuid,
    /// The client's own.
    pub client_order_id: String,
    /// For example "BTC/USDT".
    pub symbol: String,
    /// Which way.
    pub side: Side,
    /// In the base currency.
    pub quantity: Decimal,
    /// Nothing for market orders.
    pub limit: Option<Decimal>,
    /// Of the quantity.
    pub filled: Decimal,
    /// Of what was filled, in the quote currency.
    pub value: Decimal,
    /// In the quote currency.
    pub fees: Decimal,
    /// How it is.
    pub state: State,
    /// Who asked.
    pub agent: String,
    /// In which run.
    pub run_id: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Order {
    /// Not yet filled.
    #[must_use]
    pub fn remaining(&self) -> Decimal {
        self.quantity - self.filled
    }
}

/// A part of an order that was filled.
#[derive(Debug, Clone, PartialEq)]
pub struct Fill {
    /// Whose.
    pub order_id: Uuid,
    /// At which price.
    pub price: Decimal,
    /// How much.
    pub quantity: Decimal,
    /// In the quote currency.
    pub fee: Decimal,
    /// Whether it took from the book, rather than rested in it.
    pub taker: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// An order cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such market.
    #[error("no market `{symbol}`; there are {known}")]
    UnknownSymbol {
        /// As asked for.
        symbol: String,
        /// What there is.
        known: String,
    },
    /// A value that does not fit the market.
    #[error("{field} {rule}")]
    Invalid {
        /// Of the request.
        field: &'static str,
        /// What is allowed.
        rule: String,
    },
    /// Not enough of a currency is free.
    #[error("{needed} {currency} are needed and {free} are free")]
    Funds {
        /// Of which.
        currency: String,
        /// Fees included.
        needed: Decimal,
        /// Not held for other orders.
        free: Decimal,
    },
    /// A limit of config.yaml.
    #[error("trading.limits.{limit} is {value}: {why}")]
    Limit {
        /// Which.
        limit: &'static str,
        /// As configured.
        value: Decimal,
        /// What the order would do.
        why: String,
    },
    /// No such order.
    #[error("no order {0}")]
    NoOrder(Uuid),
    /// It has ended.
    #[error("order {id} is {state} already")]
    Closed {
        /// Which.
        id: Uuid,
        /// How it ended.
        state: &'static str,
    },
}

/// Something that went wrong, or is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// For example "max_drawdown".
    pub name: &'static str,
    /// One line for a person.
    pub summary: String,
    /// Whether it is over.
    pub resolved: bool,
}

/// What an event changed: to be written down together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// New or changed.
    pub orders: Vec<Order>,
    /// New.
    pub fills: Vec<Fill>,
    /// New.
    pub alerts: Vec<Alert>,
}

/// Markets, prices, resting orders and the account.
#[derive(Debug, Clone)]
pub struct Exchange {
    rules: Rules,
    prices: BTreeMap<String, (Decimal, DateTime<Utc>)>,
    books: BTreeMap<String, Book>,
    /// Resting, by time.
    open: BTreeMap<Uuid, Order>,
    account: Account,
    active_alerts: BTreeSet<&'static str>,
}

impl Exchange {
    /// An account with the deposit and nothing else.
    #[must_use]
    pub fn new(rules: Rules, now: DateTime<Utc>) -> Self {
        let account = Account::new(&rules, now);
        let mut this = Self {
            prices: BTreeMap::new(),
            books: BTreeMap::new(),
            open: BTreeMap::new(),
            active_alerts: BTreeSet::new(),
            account,
            rules,
        };
        let starts: Vec<_> = this
            .rules
            .markets
            .iter()
            .map(|market| (market.symbol.clone(), market.start_price))
            .collect();
        for (symbol, price) in starts {
            this.set_price(&symbol, price, now);
        }
        this
    }

    /// With what was written down: account, resting orders, alerts that are on.
    #[must_use]
    pub fn restored(mut self, account: Account, open: Vec<Order>, alerts: &[String]) -> Self {
        self.account = account;
        self.open = open.into_iter().map(|order| (order.id, order)).collect();
        let names = [MAX_DRAWDOWN, MAX_DAILY_LOSS];
        self.active_alerts =
            names.into_iter().filter(|name| alerts.iter().any(|on| on == name)).collect();
        self
    }

    /// What it goes by.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Balances and positions.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Orders that rest in the book.
    pub fn open_orders(&self) -> impl Iterator<Item = &Order> {
        self.open.values()
    }

    /// Names of the alerts that are on.
    pub fn active_alerts(&self) -> impl Iterator<Item = &'static str> {
        self.active_alerts.iter().copied()
    }

    /// A market's last price and when it was made.
    #[must_use]
    pub fn price(&self, symbol: &str) -> Option<(Decimal, DateTime<Utc>)> {
        self.prices.get(symbol).copied()
    }

    /// A market's book.
    ///
    /// # Errors
    /// When there is no such market.
    pub fn book(&self, symbol: &str) -> Result<&Book, Refusal> {
        self.books.get(symbol).ok_or_else(|| self.rules.unknown(symbol))
    }

    /// Profit and loss at the last prices.
    #[must_use]
    pub fn pnl(&self) -> Pnl {
        self.account.pnl(&self.rules, |symbol| self.last(symbol))
    }

    fn last(&self, symbol: &str) -> Decimal {
        self.prices.get(symbol).map_or(Decimal::ZERO, |(price, _)| *price)
    }

    fn set_price(&mut self, symbol: &str, price: Decimal, now: DateTime<Utc>) {
        if let Some(market) = self.rules.market(symbol) {
            self.books.insert(symbol.to_owned(), Book::around(market, price));
            self.prices.insert(symbol.to_owned(), (price, now));
        }
    }

    /// Takes an order: what can be filled at once is, the rest of a limit order rests in the book,
    /// the rest of a market order is cancelled.
    ///
    /// # Errors
    /// When it does not fit the market, the funds or the limits; nothing has changed then.
    pub fn place(&mut self, mut order: Order) -> Result<Changes, Refusal> {
        let market = self.rules.market(&order.symbol);
        let market = market.ok_or_else(|| self.rules.unknown(&order.symbol))?.clone();
        market.check(&order)?;
        self.check_limits(&market, &order)?;
        self.check_funds(&market, &order)?;

        self.account.hold(&market, &order);
        let mut changes = Changes::default();
        let now = order.created_at;
        self.fill(&market, &mut order, true, now, &mut changes);
        if order.remaining() > Decimal::ZERO && order.limit.is_none() {
            self.account.release(&market, &order);
            order.state = State::Cancelled;
        }
        if order.state.is_open() {
            self.open.insert(order.id, order.clone());
        }
        changes.orders.push(order);
        self.look(now, &mut changes);
        Ok(changes)
    }

    /// Ends a resting order.
    ///
    /// # Errors
    /// When it does not rest.
    pub fn cancel(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<Changes, Refusal> {
        let mut order = self.open.remove(&id).ok_or(Refusal::NoOrder(id))?;
        if let Some(market) = self.rules.market(&order.symbol) {
            self.account.release(market, &order);
        }
        order.state = State::Cancelled;
        order.updated_at = now;
        Ok(Changes { orders: vec![order], ..Changes::default() })
    }

    /// New prices: books are made anew around them and resting orders filled where they cross.
    pub fn tick(&mut self, prices: &[(String, Decimal)], now: DateTime<Utc>) -> Changes {
        let mut changes = Changes::default();
        for (symbol, price) in prices {
            self.set_price(symbol, *price, now);
        }
        for id in self.by_priority() {
            let Some(mut order) = self.open.remove(&id) else { continue };
            let Some(market) = self.rules.market(&order.symbol).cloned() else { continue };
            let before = order.filled;
            self.fill(&market, &mut order, false, now, &mut changes);
            if order.filled > before {
                changes.orders.push(order.clone());
            }
            if order.state.is_open() {
                self.open.insert(id, order);
            }
        }
        self.look(now, &mut changes);
        changes
    }

    /// Resting orders in the order in which they are served: the best price first, then the oldest.
    fn by_priority(&self) -> Vec<Uuid> {
        let mut resting: Vec<(Decimal, Uuid)> = self
            .open
            .values()
            .map(|order| {
                let limit = order.limit.unwrap_or_default();
                (if order.side == Side::Buy { -limit } else { limit }, order.id)
            })
            .collect();
        resting.sort();
        resting.into_iter().map(|(_, id)| id).collect()
    }

    /// Takes over last prices that were written down.
    pub fn set_prices(&mut self, prices: &[(String, Decimal, DateTime<Utc>)]) {
        for (symbol, price, at) in prices {
            self.set_price(symbol, *price, *at);
        }
    }

    /// Last prices.
    pub fn prices(&self) -> impl Iterator<Item = (&String, Decimal, DateTime<Utc>)> {
        self.prices.iter().map(|(symbol, (price, at))| (symbol, *price, *at))
    }

    /// Fills an order from the book as far as its limit and the book's quantities go. One that
    /// rested is filled at its own price; one that takes, at the book's.
    fn fill(
        &mut self,
        market: &Market,
        order: &mut Order,
        taker: bool,
        now: DateTime<Utc>,
        changes: &mut Changes,
    ) {
        let Some(book) = self.books.get_mut(&order.symbol) else { return };
        for (price, quantity) in book.take(order.side, order.limit, order.remaining()) {
            let price = if taker { price } else { order.limit.unwrap_or(price) };
            let rate = if taker { market.taker_fee } else { market.maker_fee };
            let value = price * quantity;
            let fill =
                Fill { order_id: order.id, price, quantity, fee: value * rate, taker, at: now };
            self.account.release(market, order);
            order.filled += quantity;
            order.value += value;
            order.fees += fill.fee;
            order.updated_at = now;
            order.state =
                if order.remaining().is_zero() { State::Filled } else { State::PartiallyFilled };
            self.account.apply(market, order.side, &fill);
            if order.state.is_open() {
                self.account.hold(market, order);
            }
            changes.fills.push(fill);
        }
    }

    fn check_limits(&self, market: &Market, order: &Order) -> Result<(), Refusal> {
        let limits = &self.rules.limits;
        let refuse = |limit, value, why: String| Err(Refusal::Limit { limit, value, why });
        let price = order.limit.unwrap_or_else(|| self.last(&order.symbol));
        let value = price * order.quantity;
        if value > limits.max_order_value {
            let why = format!("the order is worth {value}");
            return refuse("max_order_value", limits.max_order_value, why);
        }
        let open = Decimal::from(self.open.len() + 1);
        if open > limits.max_open_orders {
            let why = format!("{} orders are open", self.open.len());
            return refuse("max_open_orders", limits.max_open_orders, why);
        }
        if order.side == Side::Sell {
            // Giving up a position is always allowed.
            return Ok(());
        }
        let held = self.account.balance(&market.base).total;
        let pending =
            self.open.values().filter(|open| open.symbol == order.symbol && open.side == Side::Buy);
        let pending: Decimal = pending.map(Order::remaining).sum();
        let position = (held + pending + order.quantity) * price;
        if position > limits.max_position_value {
            let why = format!("the position would be worth {position}");
            return refuse("max_position_value", limits.max_position_value, why);
        }
        let lost = -self.pnl().day;
        if lost >= limits.max_daily_loss {
            let why = format!("{lost} were lost today");
            return refuse("max_daily_loss", limits.max_daily_loss, why);
        }
        Ok(())
    }

    fn check_funds(&self, market: &Market, order: &Order) -> Result<(), Refusal> {
        let (currency, needed) = match (order.side, order.limit) {
            (Side::Sell, _) => (&market.base, order.quantity),
            (Side::Buy, Some(limit)) => (&market.quote, market.with_fee(limit * order.quantity)),
            (Side::Buy, None) => {
                let book = self.book(&order.symbol)?;
                let value = book.value_of(order.side, order.quantity);
                (&market.quote, market.with_fee(value))
            }
        };
        let free = self.account.balance(currency).free();
        if needed <= free {
            return Ok(());
        }
        Err(Refusal::Funds { currency: currency.clone(), needed, free })
    }

    /// Looks whether a threshold is passed, or no more so.
    fn look(&mut self, now: DateTime<Utc>, changes: &mut Changes) {
        let rules = self.rules.clone();
        let prices: BTreeMap<String, Decimal> =
            self.prices.iter().map(|(symbol, (price, _))| (symbol.clone(), *price)).collect();
        let last = |symbol: &str| prices.get(symbol).copied().unwrap_or_default();
        self.account.mark(&rules, now, last);
        let pnl = self.pnl();
        let thresholds = &rules.alerts;
        let looks = [
            (MAX_DRAWDOWN, pnl.drawdown, thresholds.max_drawdown),
            (MAX_DAILY_LOSS, -pnl.day, thresholds.max_daily_loss),
        ];
        for (name, value, threshold) in looks {
            let on = value >= threshold && value > Decimal::ZERO;
            if on == self.active_alerts.contains(name) {
                continue;
            }
            if on {
                self.active_alerts.insert(name);
            } else {
                self.active_alerts.remove(name);
            }
            let summary = format!(
                "{name} is {}, the threshold is {threshold}; equity {} {}",
                value.round_dp(6).normalize(),
                pnl.equity.round_dp(2),
                rules.currency
            );
            changes.alerts.push(Alert { name, summary, resolved: !on });
        }
    }
}

const MAX_DRAWDOWN: &str = "max_drawdown";
const MAX_DAILY_LOSS: &str = "max_daily_loss";

#[cfg(test)]
mod tests;
