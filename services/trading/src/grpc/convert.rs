//! Between the wire and the domain.

use std::time::Duration;

use alina_proto::{
    time::timestamp,
    trading::v1::{
        Balance as WireBalance, Fill as WireFill, GetAccountResponse, Level as WireLevel,
        Market as WireMarket, Order as WireOrder, OrderState, OrderType, PlaceOrderRequest,
        Pnl as WirePnl, Position as WirePosition, Side as WireSide,
    },
};
use alina_service::status::{self, Violations};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    error::TradingError,
    exchange::{Exchange, Fill, Level, Market, Order, Refusal, Side, State},
};

/// Digits of a decimal on the wire.
const MAX_DIGITS: usize = 28;

pub(super) fn checked_order(request: PlaceOrderRequest) -> Result<Order, Status> {
    let mut bad = Violations::default();
    let name = |text: &str, most: usize| text.len() <= most && !text.contains('\0');
    let key = !request.client_order_id.is_empty() && name(&request.client_order_id, 64);
    bad.check(key, "client_order_id", "must be 1 to 64 bytes without NUL");
    bad.check(name(&request.symbol, 32), "symbol", "must be at most 32 bytes without NUL");
    bad.check(name(&request.agent, 256), "agent", "must be at most 256 bytes without NUL");
    bad.check(name(&request.run_id, 256), "run_id", "must be at most 256 bytes without NUL");
    let side = match request.side() {
        WireSide::Buy => Some(Side::Buy),
        WireSide::Sell => Some(Side::Sell),
        WireSide::Unspecified => None,
    };
    bad.check(side.is_some(), "side", "must be SIDE_BUY or SIDE_SELL");
    let decimal = "must be a decimal over 0, such as 0.01, of at most 28 digits";
    let quantity = amount(&request.quantity);
    bad.check(quantity.is_some(), "quantity", decimal);
    let limit = match request.r#type() {
        OrderType::Limit => {
            let limit = amount(&request.limit_price);
            bad.check(limit.is_some(), "limit_price", decimal);
            limit
        }
        OrderType::Market => {
            let none = request.limit_price.is_empty();
            bad.check(none, "limit_price", "must be empty for a market order");
            None
        }
        OrderType::Unspecified => {
            bad.add("type", "must be ORDER_TYPE_MARKET or ORDER_TYPE_LIMIT");
            None
        }
    };
    bad.finish()?;
    let now = Utc::now();
    Ok(Order {
        id: Uuid::now_v7(),
        client_order_id: request.client_order_id,
        symbol: request.symbol,
        side: side.unwrap_or(Side::Buy),
        quantity: quantity.unwrap_or_default(),
        limit,
        filled: Decimal::ZERO,
        value: Decimal::ZERO,
        fees: Decimal::ZERO,
        state: State::Open,
        agent: request.agent,
        run_id: request.run_id,
        created_at: now,
        updated_at: now,
    })
}

/// A positive decimal of plain digits. Bounded, so that no product of two overflows.
fn amount(text: &str) -> Option<Decimal> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !plain || digits == 0 || digits > MAX_DIGITS {
        return None;
    }
    let value: Decimal = text.parse().ok()?;
    let most = Decimal::from(1_000_000_000_000_i64);
    (value > Decimal::ZERO && value <= most && value.scale() <= 12).then_some(value)
}

/// Without needless zeros.
fn text(value: Decimal) -> String {
    value.normalize().to_string()
}

pub(super) fn order(order: Order, fills: Vec<Fill>) -> WireOrder {
    let side = match order.side {
        Side::Buy => WireSide::Buy,
        Side::Sell => WireSide::Sell,
    };
    let kind = if order.limit.is_some() { OrderType::Limit } else { OrderType::Market };
    let state = match order.state {
        State::Open => OrderState::Open,
        State::PartiallyFilled => OrderState::PartiallyFilled,
        State::Filled => OrderState::Filled,
        State::Cancelled => OrderState::Cancelled,
    };
    let average = (!order.filled.is_zero()).then(|| (order.value / order.filled).round_dp(8));
    WireOrder {
        id: order.id.to_string(),
        client_order_id: order.client_order_id,
        symbol: order.symbol,
        side: side.into(),
        r#type: kind.into(),
        quantity: text(order.quantity),
        limit_price: order.limit.map(text).unwrap_or_default(),
        filled_quantity: text(order.filled),
        average_price: average.map(text).unwrap_or_default(),
        fees: text(order.fees),
        state: state.into(),
        created_at: Some(timestamp(order.created_at)),
        updated_at: Some(timestamp(order.updated_at)),
        fills: fills
            .into_iter()
            .map(|fill| WireFill {
                price: text(fill.price),
                quantity: text(fill.quantity),
                fee: text(fill.fee),
                taker: fill.taker,
                at: Some(timestamp(fill.at)),
            })
            .collect(),
    }
}

pub(super) fn account(exchange: &Exchange) -> GetAccountResponse {
    let account = exchange.account();
    let balances = account.balances.iter().map(|(currency, balance)| WireBalance {
        currency: currency.clone(),
        total: text(balance.total),
        held: text(balance.held),
        free: text(balance.free()),
    });
    let positions = account.positions.iter().map(|(symbol, position)| {
        let last = exchange.price(symbol).map(|(price, _)| price).unwrap_or_default();
        let average = (!position.quantity.is_zero())
            .then(|| text((position.cost / position.quantity).round_dp(8)));
        WirePosition {
            symbol: symbol.clone(),
            quantity: text(position.quantity),
            average_cost: average.unwrap_or_default(),
            last_price: text(last),
            unrealized_pnl: text(position.quantity * last - position.cost),
            realized_pnl: text(position.realized),
        }
    });
    GetAccountResponse { balances: balances.collect(), positions: positions.collect() }
}

pub(super) fn level(level: &Level) -> WireLevel {
    WireLevel { price: text(level.price), quantity: text(level.quantity) }
}

pub(super) fn market(market: &Market, price: Option<(Decimal, DateTime<Utc>)>) -> WireMarket {
    WireMarket {
        symbol: market.symbol.clone(),
        base: market.base.clone(),
        quote: market.quote.clone(),
        last_price: price.map(|(price, _)| text(price)).unwrap_or_default(),
        tick_size: text(market.tick),
        lot_size: text(market.lot),
        maker_fee_rate: text(market.maker_fee),
        taker_fee_rate: text(market.taker_fee),
        at: price.map(|(_, at)| timestamp(at)),
    }
}

pub(super) fn pnl(exchange: &Exchange) -> WirePnl {
    let pnl = exchange.pnl();
    let at = exchange.rules().markets.iter().filter_map(|market| exchange.price(&market.symbol));
    WirePnl {
        currency: exchange.rules().currency.clone(),
        equity: text(pnl.equity),
        realized: text(pnl.realized),
        unrealized: text(pnl.unrealized),
        fees: text(pnl.fees),
        day: text(pnl.day),
        drawdown: text(pnl.drawdown),
        at: at.map(|(_, at)| at).max().map(timestamp),
    }
}

pub(super) fn failure(error: TradingError) -> Status {
    let message = error.to_string();
    match error {
        TradingError::Refused(refusal) => refused(refusal, message),
        TradingError::KeyReused(_) => status::error(Code::AlreadyExists, "KEY_REUSED", message),
        TradingError::StoreUnavailable(_) => {
            status::error(Code::Unavailable, "STORE_UNAVAILABLE", message)
        }
        TradingError::Busy => {
            let soon = Duration::from_millis(250);
            status::retry(Code::ResourceExhausted, "OVERLOADED", message, soon)
        }
        TradingError::Stopping => Status::unavailable(message),
        TradingError::Store(_) => {
            tracing::error!(error = message, "a request failed");
            Status::internal("a fault in the service; see its log")
        }
    }
}

fn refused(refusal: Refusal, message: String) -> Status {
    match refusal {
        Refusal::UnknownSymbol { symbol, .. } => {
            status::resource(Code::NotFound, "UNKNOWN_SYMBOL", "market", symbol, message)
        }
        Refusal::Invalid { field, rule } => {
            let mut bad = Violations::default();
            bad.add(field, rule);
            bad.finish().err().unwrap_or_else(|| Status::invalid_argument(message))
        }
        Refusal::Funds { .. } => {
            status::error(Code::FailedPrecondition, "INSUFFICIENT_FUNDS", message)
        }
        Refusal::Limit { .. } => status::error(Code::FailedPrecondition, "RISK_LIMIT", message),
        Refusal::NoOrder(id) => {
            status::resource(Code::NotFound, "ORDER_NOT_FOUND", "order", id, message)
        }
        Refusal::Closed { .. } => status::error(Code::FailedPrecondition, "ORDER_CLOSED", message),
    }
}
