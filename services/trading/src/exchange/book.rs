//! A market's order book: what market makers offer around the price. What is taken is gone until
//! the next price.

use rust_decimal::Decimal;

use super::{Market, Side};

/// Levels of each side.
const LEVELS: u32 = 20;

/// What is offered at one price.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// In the quote currency.
    pub price: Decimal,
    /// In the base currency.
    pub quantity: Decimal,
}

/// Both sides, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Book {
    /// Offers to buy.
    pub bids: Vec<Level>,
    /// Offers to sell.
    pub asks: Vec<Level>,
}

impl Book {
    /// The market makers' offers around `price`: a tick or two hundred-thousandths apart, growing
    /// away from it.
    #[must_use]
    pub fn around(market: &Market, price: Decimal) -> Self {
        let step = round_to(price * Decimal::new(2, 5), market.tick).max(market.tick);
        let level = |number: u32, sign: Decimal| {
            // The best level has the least: a thin top, a thick middle.
            let quantity = round_to(
                market.depth * Decimal::from(number) / Decimal::from(LEVELS / 2),
                market.lot,
            );
            Level {
                price: price + sign * step * Decimal::from(number),
                quantity: quantity.max(market.lot),
            }
        };
        let asks = (1..=LEVELS).map(|number| level(number, Decimal::ONE)).collect();
        let bids = (1..=LEVELS).map(|number| level(number, Decimal::NEGATIVE_ONE));
        Self { bids: bids.filter(|level| level.price > Decimal::ZERO).collect(), asks }
    }

    /// Takes up to `quantity` from the side that serves `side`, no worse than `limit`.
    pub fn take(
        &mut self,
        side: Side,
        limit: Option<Decimal>,
        mut quantity: Decimal,
    ) -> Vec<(Decimal, Decimal)> {
        let levels = match side {
            Side::Buy => &mut self.asks,
            Side::Sell => &mut self.bids,
        };
        let mut taken = Vec::new();
        for level in levels.iter_mut() {
            let fits = limit.is_none_or(|limit| match side {
                Side::Buy => level.price <= limit,
                Side::Sell => level.price >= limit,
            });
            if !fits || quantity.is_zero() {
                break;
            }
            let part = quantity.min(level.quantity);
            level.quantity -= part;
            quantity -= part;
            taken.push((level.price, part));
        }
        levels.retain(|level| !level.quantity.is_zero());
        taken
    }

    /// What `quantity` would cost or bring, as far as the book goes.
    #[must_use]
    pub fn value_of(&self, side: Side, quantity: Decimal) -> Decimal {
        let taken = self.clone().take(side, None, quantity);
        taken.iter().map(|(price, quantity)| price * quantity).sum()
    }
}

/// The nearest multiple of `unit`.
fn round_to(value: Decimal, unit: Decimal) -> Decimal {
    (value / unit).round() * unit
}
