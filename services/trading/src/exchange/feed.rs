//! Where prices come from: a recording, or a random walk that is the same for the same seed.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rust_decimal::{Decimal, prelude::FromPrimitive};

use super::Market;

/// A walk stays within this factor of where it began.
const BOUND: i64 = 4;

/// A stream of prices.
#[derive(Debug)]
pub enum Feed {
    /// Geometric random walks.
    Generated {
        /// Seeded.
        random: Box<StdRng>,
        /// What walks.
        markets: Vec<Market>,
        /// Where it is.
        prices: BTreeMap<String, Decimal>,
    },
    /// Prices in order, from the beginning again at the end.
    Recorded {
        /// Of all markets at one time.
        rows: Vec<Vec<(String, Decimal)>>,
        /// The row to come.
        next: usize,
    },
}

impl Feed {
    /// Walks from the markets' start prices.
    #[must_use]
    pub fn generated(seed: u64, markets: Vec<Market>) -> Self {
        let prices = markets.iter().map(|market| (market.symbol.clone(), market.start_price));
        Self::Generated {
            random: Box::new(StdRng::seed_from_u64(seed)),
            prices: prices.collect(),
            markets,
        }
    }

    /// Reads lines of `timestamp,symbol,price`, in order of time; lines that do not begin with a
    /// digit are passed over.
    ///
    /// # Errors
    /// Names the first line that is none of both, or that there is none.
    pub fn recorded(text: &str, markets: &[Market]) -> Result<Self, String> {
        let mut rows: Vec<(&str, Vec<(String, Decimal)>)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if !line.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            let wrong = |why: &str| format!("line {number}: {why}");
            let mut parts = line.split(',').map(str::trim);
            let (Some(time), Some(symbol), Some(price)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Err(wrong("must be timestamp,symbol,price"));
            };
            if !markets.iter().any(|market| market.symbol == symbol) {
                return Err(wrong(&format!("`{symbol}` is no market of config.yaml")));
            }
            let price: Decimal = price.parse().map_err(|_| wrong("the price must be a decimal"))?;
            if price <= Decimal::ZERO {
                return Err(wrong("the price must be over 0"));
            }
            match rows.last_mut() {
                Some((of, row)) if *of == time => row.push((symbol.to_owned(), price)),
                _ => rows.push((time, vec![(symbol.to_owned(), price)])),
            }
        }
        if rows.is_empty() {
            return Err("holds no price".to_owned());
        }
        Ok(Self::Recorded { rows: rows.into_iter().map(|(_, row)| row).collect(), next: 0 })
    }

    /// Goes on from `last`, where a walk was before a restart.
    pub fn resume(&mut self, symbol: &str, last: Decimal) {
        if let Self::Generated { prices, .. } = self
            && let Some(price) = prices.get_mut(symbol)
        {
            *price = last;
        }
    }

    /// The next prices.
    pub fn tick(&mut self) -> Vec<(String, Decimal)> {
        match self {
            Self::Recorded { rows, next } => {
                let row = rows.get(*next).cloned().unwrap_or_default();
                *next = (*next + 1) % rows.len().max(1);
                row
            }
            Self::Generated { random, markets, prices } => markets
                .iter()
                .map(|market| {
                    let price = prices.entry(market.symbol.clone()).or_insert(market.start_price);
                    *price = step(random, market, *price);
                    (market.symbol.clone(), *price)
                })
                .collect(),
        }
    }
}

fn step(random: &mut StdRng, market: &Market, price: Decimal) -> Decimal {
    // The sum of twelve uniform numbers is near enough to a normal one (Irwin–Hall).
    let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let change = Decimal::from_f64(normal).unwrap_or_default() * market.volatility;
    let moved = price * (Decimal::ONE + change);
    let bound = Decimal::from(BOUND);
    let moved = moved.clamp(market.start_price / bound, market.start_price * bound);
    ((moved / market.tick).round() * market.tick).max(market.tick)
}
