//! Every metric of this service.
//!
//! | metric | type | labels |
//! |---|---|---|
//! | `alina_trading_orders_total` | counter | state (as it was after the event) |
//! | `alina_trading_fills_total` | counter | symbol |
//! | `alina_trading_open_orders` | gauge | |
//! | `alina_trading_equity` | gauge | |
//! | `alina_trading_drawdown` | gauge | |
//! | `alina_trading_active_alerts` | gauge | |
//! | `alina_trading_price` | gauge | symbol |

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use rust_decimal::{Decimal, prelude::ToPrimitive};

use crate::exchange::{Changes, Exchange, State};

/// By state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByState {
    /// open, partially_filled, filled or cancelled.
    pub state: &'static str,
}

/// By market.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySymbol {
    /// The market.
    pub symbol: String,
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// The handles.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    orders: Family<ByState, Counter>,
    fills: Family<BySymbol, Counter>,
    open_orders: Gauge,
    equity: FloatGauge,
    drawdown: FloatGauge,
    active_alerts: Gauge,
    price: Family<BySymbol, FloatGauge>,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        registry.register("alina_trading_orders", "Orders new or changed", this.orders.clone());
        registry.register("alina_trading_fills", "Fills", this.fills.clone());
        registry.register(
            "alina_trading_open_orders",
            "Orders in the book",
            this.open_orders.clone(),
        );
        registry.register(
            "alina_trading_equity",
            "Everything owned at last prices",
            this.equity.clone(),
        );
        registry.register(
            "alina_trading_drawdown",
            "From the highest equity, 0 to 1",
            this.drawdown.clone(),
        );
        registry.register(
            "alina_trading_active_alerts",
            "Thresholds passed",
            this.active_alerts.clone(),
        );
        registry.register("alina_trading_price", "Last price", this.price.clone());
        this
    }

    /// Takes over what an event changed.
    pub(crate) fn see(&self, exchange: &Exchange, changes: &Changes) {
        for order in &changes.orders {
            let state = match order.state {
                State::Open => "open",
                State::PartiallyFilled => "partially_filled",
                State::Filled => "filled",
                State::Cancelled => "cancelled",
            };
            self.orders.get_or_create(&ByState { state }).inc();
            let symbol = BySymbol { symbol: order.symbol.clone() };
            let fills = changes.fills.iter().filter(|fill| fill.order_id == order.id).count();
            self.fills.get_or_create(&symbol).inc_by(fills as u64);
        }
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.open_orders.set(count(exchange.open_orders().count()));
        self.active_alerts.set(count(exchange.active_alerts().count()));
        let pnl = exchange.pnl();
        self.equity.set(float(pnl.equity));
        self.drawdown.set(float(pnl.drawdown));
        for market in &exchange.rules().markets {
            if let Some((price, _)) = exchange.price(&market.symbol) {
                let symbol = BySymbol { symbol: market.symbol.clone() };
                self.price.get_or_create(&symbol).set(float(price));
            }
        }
    }
}

/// Only for people's eyes: money itself stays decimal.
fn float(value: Decimal) -> f64 {
    value.to_f64().unwrap_or(f64::NAN)
}
