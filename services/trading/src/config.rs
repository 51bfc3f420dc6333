//! The section `trading` of config.yaml.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use alina_service::{Check, Section};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::exchange::{Feed, Limits, Market, Rules, Thresholds};

/// The paper exchange, risk limits and alerts. Amounts are decimal strings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TradingConfig {
    /// Of the account; every market's quote currency.
    pub currency: String,
    /// What the account begins with.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub deposit: Decimal,
    /// Between two prices, in milliseconds.
    pub tick_ms: u64,
    /// A file with lines of timestamp,symbol,price; null: prices are generated.
    pub recorded_feed: Option<PathBuf>,
    /// Of generated prices: the same seed gives the same walk.
    pub seed: u64,
    /// What is traded.
    pub markets: Vec<MarketConfig>,
    /// Orders beyond these are refused.
    pub limits: LimitsConfig,
    /// Beyond these the orchestrator is told.
    pub alerts: AlertsConfig,
}

/// A decimal as a string, or as a number that YAML or an environment variable made of it.
fn decimal<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Decimal, D::Error> {
    let text = match serde_json::Value::deserialize(from)? {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    text.parse().map_err(|_| serde::de::Error::custom("must be a decimal such as \"0.01\""))
}

/// A pair that is traded.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarketConfig {
    /// BASE/QUOTE.
    pub symbol: String,
    /// Prices are multiples of it.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub tick_size: Decimal,
    /// Quantities are multiples of it.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub lot_size: Decimal,
    /// Of the value, for orders that rested.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub maker_fee: Decimal,
    /// Of the value, for orders that took.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub taker_fee: Decimal,
    /// Before the first tick.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub start_price: Decimal,
    /// Of the book's levels, in the base currency.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub depth: Decimal,
    /// Standard deviation of a tick's relative change.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub volatility: Decimal,
}

/// Orders beyond these are refused.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// In the account's currency.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub max_order_value: Decimal,
    /// Of one market.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub max_position_value: Decimal,
    /// Since the beginning of the UTC day: no buying after that.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub max_daily_loss: Decimal,
    /// Resting at once.
    pub max_open_orders: u32,
}

/// Beyond these the orchestrator is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// From the highest equity so far, 0 to 1.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub max_drawdown: Decimal,
    /// Since the beginning of the UTC day.
    #[serde(deserialize_with = "decimal")]
    #[schemars(with = "String")]
    pub max_daily_loss: Decimal,
}

impl Default for TradingConfig {
    fn default() -> Self {
        let market = |symbol: &str, price, lot, depth| MarketConfig {
            symbol: symbol.to_owned(),
            tick_size: Decimal::new(1, 2),
            lot_size: lot,
            maker_fee: Decimal::new(1, 3),
            taker_fee: Decimal::new(1, 3),
            start_price: Decimal::from(price),
            depth,
            volatility: Decimal::new(2, 4),
        };
        Self {
            currency: "USDT".to_owned(),
            deposit: Decimal::from(10_000),
            tick_ms: 1_000,
            recorded_feed: None,
            seed: 42,
            markets: vec![
                market("BTC/USDT", 60_000, Decimal::new(1, 5), Decimal::new(5, 1)),
                market("ETH/USDT", 3_000, Decimal::new(1, 4), Decimal::from(8)),
            ],
            limits: LimitsConfig::default(),
            alerts: AlertsConfig::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_order_value: Decimal::from(5_000),
            max_position_value: Decimal::from(8_000),
            max_daily_loss: Decimal::from(1_000),
            max_open_orders: 50,
        }
    }
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self { max_drawdown: Decimal::new(5, 2), max_daily_loss: Decimal::from(500) }
    }
}

impl Section for TradingConfig {
    fn check(&self, check: &mut Check) {
        check.that(self.deposit > Decimal::ZERO, "deposit", "must be over 0");
        check.that((10..=3_600_000).contains(&self.tick_ms), "tick_ms", "must be 10 to 3600000");
        check.that(!self.markets.is_empty(), "markets", "must name at least one");
        let mut symbols = BTreeSet::new();
        for (index, market) in self.markets.iter().enumerate() {
            let at = |key: &str| format!("markets[{index}].{key}");
            let quoted = market.symbol.split_once('/').is_some_and(|(base, quote)| {
                !base.is_empty() && quote == self.currency && base != quote
            });
            check.that(quoted, at("symbol"), format!("must be BASE/{}", self.currency));
            check.that(symbols.insert(&market.symbol), at("symbol"), "must not be given twice");
            for (key, value) in [
                ("tick_size", market.tick_size),
                ("lot_size", market.lot_size),
                ("start_price", market.start_price),
                ("depth", market.depth),
            ] {
                check.that(value > Decimal::ZERO, at(key), "must be over 0");
            }
            let share = Decimal::ZERO..=Decimal::new(1, 1);
            for (key, value) in [
                ("maker_fee", market.maker_fee),
                ("taker_fee", market.taker_fee),
                ("volatility", market.volatility),
            ] {
                check.that(share.contains(&value), at(key), "must be 0 to 0.1");
            }
        }
        for (key, value) in [
            ("limits.max_order_value", self.limits.max_order_value),
            ("limits.max_position_value", self.limits.max_position_value),
            ("limits.max_daily_loss", self.limits.max_daily_loss),
            ("alerts.max_daily_loss", self.alerts.max_daily_loss),
        ] {
            check.that(value > Decimal::ZERO, key, "must be over 0");
        }
        let drawdown =
            self.alerts.max_drawdown > Decimal::ZERO && self.alerts.max_drawdown <= Decimal::ONE;
        check.that(drawdown, "alerts.max_drawdown", "must be over 0, at most 1");
        let orders = (1..=10_000).contains(&self.limits.max_open_orders);
        check.that(orders, "limits.max_open_orders", "must be 1 to 10000");
    }
}

impl TradingConfig {
    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }

    /// What the exchange goes by.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            currency: self.currency.clone(),
            deposit: self.deposit,
            markets: self.markets.iter().map(MarketConfig::market).collect(),
            limits: Limits {
                max_order_value: self.limits.max_order_value,
                max_position_value: self.limits.max_position_value,
                max_daily_loss: self.limits.max_daily_loss,
                max_open_orders: self.limits.max_open_orders.into(),
            },
            alerts: Thresholds {
                max_drawdown: self.alerts.max_drawdown,
                max_daily_loss: self.alerts.max_daily_loss,
            },
        }
    }

    /// Where prices come from.
    pub(crate) fn feed(&self, resolve: impl Fn(&Path) -> PathBuf) -> Result<Feed, String> {
        let markets = self.rules().markets;
        let Some(file) = &self.recorded_feed else {
            return Ok(Feed::generated(self.seed, markets));
        };
        let file = resolve(file);
        let wrong =
            |problem: String| format!("trading.recorded_feed: {}: {problem}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
        Feed::recorded(&text, &markets).map_err(wrong)
    }
}

impl MarketConfig {
    fn market(&self) -> Market {
        let (base, quote) = self.symbol.split_once('/').unwrap_or((&self.symbol, ""));
        Market {
            symbol: self.symbol.clone(),
            base: base.to_owned(),
            quote: quote.to_owned(),
            tick: self.tick_size,
            lot: self.lot_size,
            maker_fee: self.maker_fee,
            taker_fee: self.taker_fee,
            start_price: self.start_price,
            depth: self.depth,
            volatility: self.volatility,
        }
    }
}
