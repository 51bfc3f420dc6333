//! The trading service through its real program, over a real PostgreSQL.

#![cfg(test)]

mod fake_orchestrator;

use alina_client::PeerChannel;
use alina_proto::{
    Service,
    trading::v1::{
        CancelOrderRequest, GetAccountRequest, GetOrderBookRequest, GetOrderRequest,
        ListOrdersRequest, Order, OrderState, OrderType, PlaceOrderRequest, Side, StreamPnlRequest,
        trading_service_client::TradingServiceClient,
    },
};
use alina_testkit::Suite;
use serde_json::json;
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use self::fake_orchestrator::FakeOrchestrator;

type Trading = TradingServiceClient<PeerChannel>;

/// Prices hardly move, so that a test knows what to expect.
async fn suite() -> Suite {
    Suite::builder().service(Service::Trading).set("trading.seed", json!(7)).start().await
}

fn request(id: &str, side: Side, quantity: &str, limit: Option<&str>) -> PlaceOrderRequest {
    let kind = if limit.is_some() { OrderType::Limit } else { OrderType::Market };
    PlaceOrderRequest {
        client_order_id: id.to_owned(),
        symbol: "BTC/USDT".to_owned(),
        side: side.into(),
        r#type: kind.into(),
        quantity: quantity.to_owned(),
        limit_price: limit.unwrap_or_default().to_owned(),
        ..PlaceOrderRequest::default()
    }
}

async fn place(trading: &Trading, request: PlaceOrderRequest) -> Result<Order, Status> {
    trading.clone().place_order(request).await.map(|answer| answer.into_inner().order.unwrap())
}

fn reason(status: &Status) -> String {
    alina_client::reason(status).unwrap_or_default()
}

#[tokio::test]
async fn orders_are_placed_listed_and_cancelled() {
    let suite = suite().await;
    let trading = suite.connector().trading();
    let bought = place(&trading, request("a", Side::Buy, "0.06", None)).await.unwrap();
    assert_eq!(bought.state(), OrderState::Filled);
    assert!(bought.fills.len() > 1, "it walked the book: {bought:?}");
    let resting = place(&trading, request("b", Side::Buy, "0.01", Some("20000"))).await.unwrap();
    assert_eq!(resting.state(), OrderState::Open);

    let open = ListOrdersRequest { open_only: true, ..ListOrdersRequest::default() };
    let open = trading.clone().list_orders(open).await.unwrap().into_inner().orders;
    assert_eq!(open.iter().map(|order| &order.id).collect::<Vec<_>>(), [&resting.id]);
    let page = ListOrdersRequest { page_size: 1, ..ListOrdersRequest::default() };
    let page = trading.clone().list_orders(page).await.unwrap().into_inner();
    assert_eq!(page.orders[0].id, resting.id);
    let rest = ListOrdersRequest { page_token: page.next_page_token, ..Default::default() };
    let rest = trading.clone().list_orders(rest).await.unwrap().into_inner().orders;
    assert_eq!(rest[0].id, bought.id);

    let cancel = CancelOrderRequest { order_id: resting.id };
    let cancelled = trading.clone().cancel_order(cancel.clone()).await.unwrap().into_inner();
    assert_eq!(cancelled.order.unwrap().state(), OrderState::Cancelled);
    let again = trading.clone().cancel_order(cancel).await.unwrap_err();
    assert_eq!((again.code(), reason(&again).as_str()), (Code::FailedPrecondition, "ORDER_CLOSED"));
    let account = trading.clone().get_account(GetAccountRequest {}).await.unwrap().into_inner();
    assert!(account.balances.iter().all(|balance| balance.held == "0"), "{account:?}");
}

#[tokio::test]
async fn a_client_order_id_places_one_order() {
    let suite = suite().await;
    let trading = suite.connector().trading();
    let first = place(&trading, request("same", Side::Buy, "0.01", None)).await.unwrap();
    let again = place(&trading, request("same", Side::Buy, "0.01", None)).await.unwrap();
    assert_eq!((&first.id, &first.fills), (&again.id, &again.fills));
    let other = place(&trading, request("same", Side::Buy, "0.02", None)).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).as_str()), (Code::AlreadyExists, "KEY_REUSED"));
}

#[tokio::test]
async fn what_cannot_be_done_is_told_with_its_reason() {
    let suite = suite().await;
    let trading = suite.connector().trading();
    let refused = async |request: PlaceOrderRequest| {
        let status = place(&trading, request).await.unwrap_err();
        (status.code(), reason(&status), status.message().to_owned())
    };
    let (_, reason_, text) = refused(request("1", Side::Sell, "0.01", None)).await;
    assert_eq!(reason_, "INSUFFICIENT_FUNDS");
    assert_eq!(text, "0.01 BTC are needed and 0 are free");
    let (_, reason_, text) = refused(request("2", Side::Buy, "0.1", Some("59000"))).await;
    assert_eq!(reason_, "RISK_LIMIT", "{text}");
    assert!(text.starts_with("trading.limits.max_order_value is 5000"), "{text}");
    for (quantity, limit, field) in [
        ("0", None, "quantity"),
        ("-1", None, "quantity"),
        ("1e3", None, "quantity"),
        ("0.000001", None, "quantity"),
        ("99999999999999999999999999999", None, "quantity"),
        ("0.01", Some("0.001"), "limit_price"),
    ] {
        let (code, _, text) = refused(request("3", Side::Buy, quantity, limit)).await;
        assert_eq!(code, Code::InvalidArgument);
        assert!(text.starts_with(field), "{quantity}: {text}");
    }
    let mut unknown = request("4", Side::Buy, "1", None);
    unknown.symbol = "DOGE/USDT".to_owned();
    let (_, reason_, text) = refused(unknown).await;
    assert_eq!(reason_, "UNKNOWN_SYMBOL");
    assert!(text.contains("BTC/USDT, ETH/USDT"), "{text}");
}

#[tokio::test]
async fn nothing_is_lost_or_filled_twice_by_kill_minus_nine() {
    let mut suite = suite().await;
    let trading = suite.connector().trading();
    let bought = place(&trading, request("a", Side::Buy, "0.05", None)).await.unwrap();
    let resting = place(&trading, request("b", Side::Sell, "0.02", Some("90000"))).await.unwrap();
    let account = async |trading: &Trading| {
        let answer = trading.clone().get_account(GetAccountRequest {}).await.unwrap().into_inner();
        let balances = answer.balances.into_iter();
        balances.map(|of| (of.currency, of.total, of.held)).collect::<Vec<_>>()
    };
    let before = account(&trading).await;

    suite.kill(Service::Trading).await;
    suite.restart(Service::Trading).await;
    let trading = suite.connector().trading();
    assert_eq!(account(&trading).await, before);
    let repeated = place(&trading, request("a", Side::Buy, "0.05", None)).await.unwrap();
    assert_eq!((&repeated.id, repeated.fills.len()), (&bought.id, bought.fills.len()));
    assert_eq!(account(&trading).await, before);
    let open = GetOrderRequest { order_id: resting.id.clone() };
    let open = trading.clone().get_order(open).await.unwrap().into_inner().order.unwrap();
    assert_eq!(open.state(), OrderState::Open);
    let cancel = CancelOrderRequest { order_id: resting.id };
    trading.clone().cancel_order(cancel).await.unwrap();
}

#[tokio::test]
async fn without_postgresql_nothing_is_ordered() {
    let mut suite = Suite::builder().service(Service::Trading).own_postgres().start().await;
    let trading = suite.connector().trading();
    suite.kill_postgres().await;
    let error = place(&trading, request("a", Side::Buy, "0.01", None)).await.unwrap_err();
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    suite.restart_postgres().await;
    let placed = place(&trading, request("a", Side::Buy, "0.01", None)).await.unwrap();
    assert_eq!(placed.state(), OrderState::Filled);
    let orders = trading.clone().list_orders(ListOrdersRequest::default()).await.unwrap();
    assert_eq!(orders.into_inner().orders.len(), 1);
}

#[tokio::test]
async fn profit_and_loss_stream_as_prices_move() {
    let suite =
        Suite::builder().service(Service::Trading).set("trading.tick_ms", json!(20)).start().await;
    let trading = suite.connector().trading();
    place(&trading, request("a", Side::Buy, "0.05", None)).await.unwrap();
    let stream = StreamPnlRequest { interval_ms: 50 };
    let stream = trading.clone().stream_pnl(stream).await.unwrap().into_inner();
    let pnls: Vec<_> = stream.take(5).map(|answer| answer.unwrap().pnl.unwrap()).collect().await;
    let mut equities: Vec<_> = pnls.iter().map(|pnl| pnl.equity.clone()).collect();
    equities.dedup();
    assert!(equities.len() > 1, "{equities:?}");
    let fees: f64 = pnls[0].fees.parse().unwrap();
    assert!(fees > 0.0);
    let book = GetOrderBookRequest { symbol: "BTC/USDT".to_owned(), depth: 3 };
    let book = trading.clone().get_order_book(book).await.unwrap().into_inner();
    let price = |text: &str| text.parse::<f64>().unwrap();
    assert_eq!((book.bids.len(), book.asks.len()), (3, 3));
    assert!(price(&book.bids[0].price) < price(&book.asks[0].price));
}

#[tokio::test]
async fn an_alert_reaches_the_orchestrator_even_if_it_was_away() {
    let port = alina_testkit::free_port();
    let suite = Suite::builder()
        .service(Service::Trading)
        .at(Service::Orchestrator, format!("http://127.0.0.1:{port}"))
        .set("trading.alerts.max_drawdown", json!("0.00001"))
        .start()
        .await;
    let trading = suite.connector().trading();
    // Its fee alone is a loss.
    place(&trading, request("a", Side::Buy, "0.05", None)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let orchestrator = FakeOrchestrator::start(port).await;
    let alert = orchestrator.next_alert().await;
    assert_eq!((alert.source.as_str(), alert.name.as_str()), ("trading", "max_drawdown"));
    assert!(alert.summary.contains("the threshold is 0.00001"), "{}", alert.summary);
}
