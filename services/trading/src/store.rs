//! SQL, and only SQL.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use crate::{
    error::TradingError,
    exchange::{Account, Balance, Changes, Exchange, Fill, Order, Position, Side, State},
};

/// The tables.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: PgPool,
}

/// Something another service is still to be told.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(crate) payload: Value,
    pub(crate) created_at: DateTime<Utc>,
}

impl Store {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The exchange as it was written down last; `fresh` when nothing was.
    pub(crate) async fn restore(&self, mut fresh: Exchange) -> Result<Exchange, TradingError> {
        let prices =
            sqlx::query("SELECT symbol, price, at FROM prices").fetch_all(&self.pool).await?;
        let prices = prices
            .iter()
            .map(|row| Ok((row.try_get("symbol")?, row.try_get("price")?, row.try_get("at")?)));
        fresh.set_prices(&prices.collect::<Result<Vec<_>, TradingError>>()?);
        let row = sqlx::query("SELECT deposit, fees, peak_equity, day, day_equity FROM account");
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(fresh) };
        let mut account = Account {
            balances: BTreeMap::new(),
            positions: BTreeMap::new(),
            deposit: row.try_get("deposit")?,
            fees: row.try_get("fees")?,
            peak_equity: row.try_get("peak_equity")?,
            day: row.try_get("day")?,
            day_equity: row.try_get("day_equity")?,
        };
        let balances = sqlx::query("SELECT currency, total, held FROM balances");
        for row in balances.fetch_all(&self.pool).await? {
            let balance = Balance { total: row.try_get("total")?, held: row.try_get("held")? };
            account.balances.insert(row.try_get("currency")?, balance);
        }
        let positions = sqlx::query("SELECT symbol, quantity, cost, realized FROM positions");
        for row in positions.fetch_all(&self.pool).await? {
            let position = Position {
                quantity: row.try_get("quantity")?,
                cost: row.try_get("cost")?,
                realized: row.try_get("realized")?,
            };
            account.positions.insert(row.try_get("symbol")?, position);
        }
        let open = sqlx::query("SELECT * FROM orders WHERE state <= 2 ORDER BY created_at, id");
        let open = open.fetch_all(&self.pool).await?;
        let open = open.iter().map(order).collect::<Result<_, _>>()?;
        let alerts: Vec<String> =
            sqlx::query_scalar("SELECT name FROM active_alerts").fetch_all(&self.pool).await?;
        Ok(fresh.restored(account, open, &alerts))
    }

    /// Writes down what an event changed, all or nothing. `content` is the hash of a new order's
    /// request.
    pub(crate) async fn write(
        &self,
        exchange: &Exchange,
        changes: &Changes,
        content: &[u8],
    ) -> Result<(), TradingError> {
        let mut transaction = self.pool.begin().await?;
        for order in &changes.orders {
            write_order(&mut transaction, order, content).await?;
        }
        for fill in &changes.fills {
            write_fill(&mut transaction, fill).await?;
        }
        write_account(&mut transaction, exchange.account()).await?;
        write_prices(&mut transaction, exchange).await?;
        write_news(&mut transaction, changes).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Writes down the last prices.
    pub(crate) async fn write_prices(&self, exchange: &Exchange) -> Result<(), TradingError> {
        write_prices(&mut *self.pool.acquire().await?, exchange).await
    }

    /// The order of a client's id, with the hash of the request it came with.
    pub(crate) async fn by_client_id(
        &self,
        client_order_id: &str,
    ) -> Result<Option<(Order, Vec<u8>)>, TradingError> {
        let row = sqlx::query("SELECT * FROM orders WHERE client_order_id = $1")
            .bind(client_order_id)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok((order(&row)?, row.try_get("content")?))).transpose()
    }

    /// An order and its fills.
    pub(crate) async fn order(&self, id: Uuid) -> Result<Option<(Order, Vec<Fill>)>, TradingError> {
        let row = sqlx::query("SELECT * FROM orders WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let fills = sqlx::query("SELECT * FROM fills WHERE order_id = $1 ORDER BY id")
            .bind(id)
            .fetch_all(&self.pool)
            .await?;
        let fills = fills.iter().map(|row| {
            Ok(Fill {
                order_id: id,
                price: row.try_get("price")?,
                quantity: row.try_get("quantity")?,
                fee: row.try_get("fee")?,
                taker: row.try_get("taker")?,
                at: row.try_get("at")?,
            })
        });
        Ok(Some((order(&row)?, fills.collect::<Result<_, TradingError>>()?)))
    }

    /// Orders older than the order `before`, newest first; an empty symbol matches all.
    pub(crate) async fn orders(
        &self,
        symbol: &str,
        open_only: bool,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Order>, TradingError> {
        // Ids are made from the clock (UUID version 7): their order is that of time.
        let rows = sqlx::query(
            "SELECT * FROM orders
              WHERE ($1 = '' OR symbol = $1) AND (NOT $2 OR state <= 2) AND ($3 IS NULL OR id < $3)
              ORDER BY id DESC LIMIT $4",
        )
        .bind(symbol)
        .bind(open_only)
        .bind(before)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(order).collect()
    }

    /// What of a kind is still to be told, oldest first.
    pub(crate) async fn undelivered(
        &self,
        kind: &str,
        limit: i64,
    ) -> Result<Vec<Message>, TradingError> {
        let rows = sqlx::query(
            "SELECT id, payload, created_at FROM outbox WHERE delivered_at IS NULL AND kind = $1
              ORDER BY created_at, id LIMIT $2",
        )
        .bind(kind)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let message = |row: &PgRow| {
            Ok(Message {
                id: row.try_get("id")?,
                payload: row.try_get("payload")?,
                created_at: row.try_get("created_at")?,
            })
        };
        rows.iter().map(message).collect()
    }

    /// It has been told.
    pub(crate) async fn delivered(&self, id: Uuid) -> Result<(), TradingError> {
        sqlx::query("UPDATE outbox SET delivered_at = now() WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

async fn write_order(
    connection: &mut PgConnection,
    order: &Order,
    content: &[u8],
) -> Result<(), TradingError> {
    sqlx::query(
        "INSERT INTO orders (id, client_order_id, content, symbol, side, quantity, limit_price,
                             filled, value, fees, state, agent, run_id, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (id) DO UPDATE
            SET filled = $8, value = $9, fees = $10, state = $11, updated_at = $15",
    )
    .bind(order.id)
    .bind(&order.client_order_id)
    .bind(content)
    .bind(&order.symbol)
    .bind(if order.side == Side::Buy { 1_i16 } else { 2 })
    .bind(order.quantity)
    .bind(order.limit)
    .bind(order.filled)
    .bind(order.value)
    .bind(order.fees)
    .bind(state_number(order.state))
    .bind(&order.agent)
    .bind(&order.run_id)
    .bind(order.created_at)
    .bind(order.updated_at)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_fill(connection: &mut PgConnection, fill: &Fill) -> Result<(), TradingError> {
    sqlx::query(
        "INSERT INTO fills (order_id, price, quantity, fee, taker, at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(fill.order_id)
    .bind(fill.price)
    .bind(fill.quantity)
    .bind(fill.fee)
    .bind(fill.taker)
    .bind(fill.at)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_account(
    connection: &mut PgConnection,
    account: &Account,
) -> Result<(), TradingError> {
    for (currency, balance) in &account.balances {
        sqlx::query(
            "INSERT INTO balances VALUES ($1, $2, $3)
             ON CONFLICT (currency) DO UPDATE SET total = $2, held = $3",
        )
        .bind(currency)
        .bind(balance.total)
        .bind(balance.held)
        .execute(&mut *connection)
        .await?;
    }
    for (symbol, position) in &account.positions {
        sqlx::query(
            "INSERT INTO positions VALUES ($1, $2, $3, $4)
             ON CONFLICT (symbol) DO UPDATE SET quantity = $2, cost = $3, realized = $4",
        )
        .bind(symbol)
        .bind(position.quantity)
        .bind(position.cost)
        .bind(position.realized)
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query(
        "INSERT INTO account (deposit, fees, peak_equity, day, day_equity)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (one) DO UPDATE
            SET fees = $2, peak_equity = $3, day = $4, day_equity = $5",
    )
    .bind(account.deposit)
    .bind(account.fees)
    .bind(account.peak_equity)
    .bind(account.day)
    .bind(account.day_equity)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_prices(
    connection: &mut PgConnection,
    exchange: &Exchange,
) -> Result<(), TradingError> {
    for (symbol, price, at) in exchange.prices() {
        sqlx::query(
            "INSERT INTO prices VALUES ($1, $2, $3)
             ON CONFLICT (symbol) DO UPDATE SET price = $2, at = $3",
        )
        .bind(symbol)
        .bind(price)
        .bind(at)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// What others are told of the changes.
async fn write_news(connection: &mut PgConnection, changes: &Changes) -> Result<(), TradingError> {
    for alert in &changes.alerts {
        if alert.resolved {
            sqlx::query("DELETE FROM active_alerts WHERE name = $1")
                .bind(alert.name)
                .execute(&mut *connection)
                .await?;
        } else {
            sqlx::query("INSERT INTO active_alerts VALUES ($1, now()) ON CONFLICT DO NOTHING")
                .bind(alert.name)
                .execute(&mut *connection)
                .await?;
        }
        let payload = json!({
            "name": alert.name, "summary": alert.summary, "resolved": alert.resolved,
        });
        enqueue(connection, "alert", &payload).await?;
    }
    for order in &changes.orders {
        let side = if order.side == Side::Buy { "buy" } else { "sell" };
        let state = state_name(order.state);
        let Order { symbol, quantity, .. } = order;
        let payload = json!({
            "action": format!("order.{state}"),
            "summary": format!("{side} {quantity} {symbol}: {state}, {} filled", order.filled),
            "details": {
                "order_id": order.id, "client_order_id": order.client_order_id, "symbol": symbol,
                "side": side, "quantity": quantity, "filled": order.filled, "fees": order.fees,
            },
            "agent": order.agent,
            "run_id": order.run_id,
        });
        enqueue(connection, "action", &payload).await?;
    }
    Ok(())
}

async fn enqueue(
    connection: &mut PgConnection,
    kind: &str,
    payload: &Value,
) -> Result<(), TradingError> {
    sqlx::query("INSERT INTO outbox (id, kind, payload, created_at) VALUES ($1, $2, $3, $4)")
        .bind(Uuid::now_v7())
        .bind(kind)
        .bind(payload)
        .bind(Utc::now())
        .execute(connection)
        .await?;
    Ok(())
}

/// As orders' states are named to people.
pub(crate) fn state_name(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::PartiallyFilled => "partially_filled",
        State::Filled => "filled",
        State::Cancelled => "cancelled",
    }
}

fn state_number(state: State) -> i16 {
    match state {
        State::Open => 1,
        State::PartiallyFilled => 2,
        State::Filled => 3,
        State::Cancelled => 4,
    }
}

fn order(row: &PgRow) -> Result<Order, TradingError> {
    let limit: Option<Decimal> = row.try_get("limit_price")?;
    Ok(Order {
        id: row.try_get("id")?,
        client_order_id: row.try_get("client_order_id")?,
        symbol: row.try_get("symbol")?,
        side: if row.try_get::<i16, _>("side")? == 1 { Side::Buy } else { Side::Sell },
        quantity: row.try_get("quantity")?,
        limit,
        filled: row.try_get("filled")?,
        value: row.try_get("value")?,
        fees: row.try_get("fees")?,
        state: match row.try_get("state")? {
            1_i16 => State::Open,
            2 => State::PartiallyFilled,
            3 => State::Filled,
            _ => State::Cancelled,
        },
        agent: row.try_get("agent")?,
        run_id: row.try_get("run_id")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
