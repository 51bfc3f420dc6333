//! What the exchange goes by.

use rust_decimal::Decimal;

use super::{Order, Refusal};

/// A pair that is traded.
#[derive(Debug, Clone, PartialEq)]
pub struct Market {
    /// For example "BTC/USDT".
    pub symbol: String,
    /// For example "BTC".
    pub base: String,
    /// For example "USDT".
    pub quote: String,
    /// Prices are multiples of it.
    pub tick: Decimal,
    /// Quantities are multiples of it.
    pub lot: Decimal,
    /// Of the value, for orders that rested.
    pub maker_fee: Decimal,
    /// Of the value, for orders that took.
    pub taker_fee: Decimal,
    /// Before the first tick.
    pub start_price: Decimal,
    /// Of the book's levels, in the base currency.
    pub depth: Decimal,
    /// Standard deviation of a tick's relative change.
    pub volatility: Decimal,
}

/// Orders beyond these are refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// In the account's currency.
    pub max_order_value: Decimal,
    /// Of one market, in the account's currency.
    pub max_position_value: Decimal,
    /// Since the beginning of the UTC day.
    pub max_daily_loss: Decimal,
    /// Resting at once.
    pub max_open_orders: Decimal,
}

/// Beyond these the orchestrator is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// From the highest equity so far, 0 to 1.
    pub max_drawdown: Decimal,
    /// Since the beginning of the UTC day.
    pub max_daily_loss: Decimal,
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The account's, and every market's quote.
    pub currency: String,
    /// At the beginning.
    pub deposit: Decimal,
    /// At least one.
    pub markets: Vec<Market>,
    /// What is refused.
    pub limits: Limits,
    /// What is told.
    pub alerts: Thresholds,
}

impl Rules {
    /// A market by its symbol.
    #[must_use]
    pub fn market(&self, symbol: &str) -> Option<&Market> {
        self.markets.iter().find(|market| market.symbol == symbol)
    }

    pub(super) fn unknown(&self, symbol: &str) -> Refusal {
        let known: Vec<_> = self.markets.iter().map(|market| market.symbol.as_str()).collect();
        Refusal::UnknownSymbol { symbol: symbol.to_owned(), known: known.join(", ") }
    }
}

impl Market {
    /// A value and the most that it can cost in fees.
    #[must_use]
    pub fn with_fee(&self, value: Decimal) -> Decimal {
        value + value * self.taker_fee.max(self.maker_fee)
    }

    pub(super) fn check(&self, order: &Order) -> Result<(), Refusal> {
        let multiple = |value: Decimal, of: Decimal| (value % of).is_zero();
        if !multiple(order.quantity, self.lot) {
            let rule = format!("must be a multiple of the lot size {}", self.lot);
            return Err(Refusal::Invalid { field: "quantity", rule });
        }
        if order.limit.is_some_and(|limit| !multiple(limit, self.tick)) {
            let rule = format!("must be a multiple of the tick size {}", self.tick);
            return Err(Refusal::Invalid { field: "limit_price", rule });
        }
        Ok(())
    }
}
