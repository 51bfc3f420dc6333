//! `alina trade`.

use alina_client::PeerChannel;
use alina_proto::trading::v1::{
    CancelOrderRequest, GetAccountRequest, GetOrderBookRequest, GetPnlRequest, ListMarketsRequest,
    ListOrdersRequest, Order, OrderType, PlaceOrderRequest, Pnl, Side as WireSide,
    StreamPnlRequest, trading_service_client::TradingServiceClient,
};
use futures::StreamExt;
use owo_colors::OwoColorize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    arguments::{Side, Trade},
    failure::Failure,
    output::{Output, rfc3339, table, when},
    session::Session,
};

type Client = TradingServiceClient<PeerChannel>;

pub(super) async fn run(command: Trade, session: &Session, output: Output) -> Result<(), Failure> {
    let mut trading = session.connect().await?.trading();
    match command {
        Trade::Status => status(trading, output).await,
        Trade::Order { side, symbol, quantity, limit, id } => {
            let kind = if limit.is_some() { OrderType::Limit } else { OrderType::Market };
            let side = match side {
                Side::Buy => WireSide::Buy,
                Side::Sell => WireSide::Sell,
            };
            let request = PlaceOrderRequest {
                client_order_id: id.unwrap_or_else(|| Uuid::new_v4().to_string()),
                symbol,
                side: side.into(),
                r#type: kind.into(),
                quantity,
                limit_price: limit.unwrap_or_default(),
                agent: "user".to_owned(),
                run_id: String::new(),
            };
            let placed = trading.place_order(request).await?.into_inner();
            orders(&[placed.order.unwrap_or_default()], output)
        }
        Trade::Orders { open } => {
            let request = ListOrdersRequest { open_only: open, ..ListOrdersRequest::default() };
            orders(&trading.list_orders(request).await?.into_inner().orders, output)
        }
        Trade::Cancel { id } => {
            let request = CancelOrderRequest { order_id: id };
            let cancelled = trading.cancel_order(request).await?.into_inner().order;
            orders(&[cancelled.unwrap_or_default()], output)
        }
        Trade::Book { symbol } => book(trading, symbol, output).await,
        Trade::Pnl { follow: false } => {
            let pnl = trading.get_pnl(GetPnlRequest {}).await?.into_inner().pnl;
            show_pnl(&pnl.unwrap_or_default(), output)
        }
        Trade::Pnl { follow: true } => {
            let request = StreamPnlRequest::default();
            let mut stream = trading.stream_pnl(request).await?.into_inner();
            while let Some(next) = stream.next().await {
                show_pnl(&next?.pnl.unwrap_or_default(), output)?;
            }
            Ok(())
        }
    }
}

async fn status(mut trading: Client, output: Output) -> Result<(), Failure> {
    let markets = trading.list_markets(ListMarketsRequest {}).await?.into_inner().markets;
    let account = trading.get_account(GetAccountRequest {}).await?.into_inner();
    let value = json!({
        "markets": markets.iter().map(|market| json!({
            "symbol": market.symbol,
            "last_price": market.last_price,
            "tick_size": market.tick_size,
            "lot_size": market.lot_size,
            "maker_fee_rate": market.maker_fee_rate,
            "taker_fee_rate": market.taker_fee_rate,
        })).collect::<Vec<_>>(),
        "balances": account.balances.iter().map(|balance| json!({
            "currency": balance.currency,
            "total": balance.total,
            "held": balance.held,
            "free": balance.free,
        })).collect::<Vec<_>>(),
        "positions": account.positions.iter().map(|position| json!({
            "symbol": position.symbol,
            "quantity": position.quantity,
            "average_cost": position.average_cost,
            "last_price": position.last_price,
            "unrealized_pnl": position.unrealized_pnl,
            "realized_pnl": position.realized_pnl,
        })).collect::<Vec<_>>(),
    });
    output.show(&value, |out| {
        let mut rows = table(["market", "last price", "tick", "lot", "maker fee", "taker fee"]);
        for market in markets {
            rows.add_row([
                market.symbol,
                market.last_price,
                market.tick_size,
                market.lot_size,
                market.maker_fee_rate,
                market.taker_fee_rate,
            ]);
        }
        writeln!(out, "{rows}")?;
        let mut rows = table(["currency", "total", "held", "free"]);
        for balance in account.balances {
            rows.add_row([balance.currency, balance.total, balance.held, balance.free]);
        }
        writeln!(out, "{rows}")?;
        let mut rows =
            table(["position", "quantity", "cost", "last price", "unrealized", "realized"]);
        for position in account.positions {
            rows.add_row([
                position.symbol,
                position.quantity,
                position.average_cost,
                position.last_price,
                position.unrealized_pnl,
                position.realized_pnl,
            ]);
        }
        writeln!(out, "{rows}")
    })
}

fn orders(orders: &[Order], output: Output) -> Result<(), Failure> {
    let side =
        |order: &Order| order.side().as_str_name().trim_start_matches("SIDE_").to_lowercase();
    let state = |order: &Order| {
        order.state().as_str_name().trim_start_matches("ORDER_STATE_").to_lowercase()
    };
    let value: Vec<Value> = orders
        .iter()
        .map(|order| {
            json!({
                "id": order.id,
                "client_order_id": order.client_order_id,
                "symbol": order.symbol,
                "side": side(order),
                "quantity": order.quantity,
                "limit_price": order.limit_price,
                "filled_quantity": order.filled_quantity,
                "average_price": order.average_price,
                "fees": order.fees,
                "state": state(order),
                "created_at": rfc3339(order.created_at.as_ref()),
            })
        })
        .collect();
    output.show(&Value::Array(value), |out| {
        let header = [
            "order", "when", "side", "market", "quantity", "limit", "filled", "at", "fees", "state",
        ];
        let mut rows = table(header);
        for order in orders {
            rows.add_row([
                order.id.clone(),
                when(order.created_at.as_ref()),
                side(order),
                order.symbol.clone(),
                order.quantity.clone(),
                order.limit_price.clone(),
                order.filled_quantity.clone(),
                order.average_price.clone(),
                order.fees.clone(),
                state(order),
            ]);
        }
        writeln!(out, "{rows}")
    })
}

async fn book(mut trading: Client, symbol: String, output: Output) -> Result<(), Failure> {
    let request = GetOrderBookRequest { symbol, ..GetOrderBookRequest::default() };
    let book = trading.get_order_book(request).await?.into_inner();
    let levels = |levels: &[alina_proto::trading::v1::Level]| -> Vec<Value> {
        levels.iter().map(|level| json!([level.price, level.quantity])).collect()
    };
    let value =
        json!({ "symbol": book.symbol, "bids": levels(&book.bids), "asks": levels(&book.asks) });
    output.show(&value, |out| {
        let mut rows = table(["", "price", "quantity"]);
        for level in book.asks.iter().rev() {
            let price = level.price.red().to_string();
            rows.add_row(["ask".to_owned(), price, level.quantity.clone()]);
        }
        for level in &book.bids {
            let price = level.price.green().to_string();
            rows.add_row(["bid".to_owned(), price, level.quantity.clone()]);
        }
        writeln!(out, "{rows}")
    })
}

fn show_pnl(pnl: &Pnl, output: Output) -> Result<(), Failure> {
    let value = json!({
        "currency": pnl.currency,
        "equity": pnl.equity,
        "realized": pnl.realized,
        "unrealized": pnl.unrealized,
        "fees": pnl.fees,
        "day": pnl.day,
        "drawdown": pnl.drawdown,
        "at": rfc3339(pnl.at.as_ref()),
    });
    output.show(&value, |out| {
        let signed = |amount: &str| match amount.starts_with('-') {
            true => amount.red().to_string(),
            false => amount.green().to_string(),
        };
        writeln!(
            out,
            "{}  equity {} {}  today {}  realized {}  unrealized {}  fees {}  drawdown {}",
            when(pnl.at.as_ref()).dimmed(),
            pnl.equity.bold(),
            pnl.currency,
            signed(&pnl.day),
            signed(&pnl.realized),
            signed(&pnl.unrealized),
            pnl.fees,
            pnl.drawdown,
        )
    })
}
