//! The wire: requests are checked here, failures become statuses here.

mod convert;

use std::time::Duration;

use alina_proto::{
    time::timestamp,
    trading::v1::{
        CancelOrderRequest, CancelOrderResponse, GetAccountRequest, GetAccountResponse,
        GetOrderBookRequest, GetOrderBookResponse, GetOrderRequest, GetOrderResponse,
        GetPnlRequest, GetPnlResponse, ListMarketsRequest, ListMarketsResponse, ListOrdersRequest,
        ListOrdersResponse, PlaceOrderRequest, PlaceOrderResponse, StreamPnlRequest,
        StreamPnlResponse, trading_service_server::TradingService,
    },
};
use alina_service::status::Violations;
use async_stream::stream;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, codegen::BoxStream};
use uuid::Uuid;

use self::convert::{account, checked_order, failure, level, market, order, pnl};
use crate::{desk::Handle, error::TradingError, exchange::Refusal, store::Store};

const FASTEST: u32 = 50;
const USUAL: u32 = 1_000;
const SLOWEST: u32 = 3_600_000;

pub(crate) struct Grpc {
    pub(crate) desk: Handle,
    pub(crate) store: Store,
    pub(crate) shutdown: CancellationToken,
}

fn checked_id(id: &str) -> Result<Uuid, Status> {
    let parsed = Uuid::parse_str(id);
    let mut bad = Violations::default();
    bad.check(parsed.is_ok(), "order_id", "must be an order's id");
    bad.finish()?;
    Ok(parsed.unwrap_or_default())
}

#[tonic::async_trait]
impl TradingService for Grpc {
    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let request = request.into_inner();
        let content = Sha256::digest(request.encode_to_vec()).to_vec();
        let placed = self.desk.place(checked_order(request)?, content).await.map_err(failure)?;
        let fills = self.store.order(placed.order.id).await.map_err(failure)?;
        let fills = fills.map(|(_, fills)| fills).unwrap_or_default();
        Ok(Response::new(PlaceOrderResponse {
            order: Some(order(placed.order, fills)),
            repeated_request: placed.repeated,
        }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let id = checked_id(&request.into_inner().order_id)?;
        let cancelled = self.desk.cancel(id).await.map_err(failure)?;
        let order = Some(order(cancelled, Vec::new()));
        Ok(Response::new(CancelOrderResponse { order }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let id = checked_id(&request.into_inner().order_id)?;
        let known = self.store.order(id).await.map_err(failure)?;
        let unknown = || failure(TradingError::Refused(Refusal::NoOrder(id)));
        let (found, fills) = known.ok_or_else(unknown)?;
        Ok(Response::new(GetOrderResponse { order: Some(order(found, fills)) }))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        bad.check(request.page_size <= 500, "page_size", "must be 1 to 500, or 0 for 50");
        bad.check(!request.symbol.contains('\0'), "symbol", "must not contain NUL");
        let before = match request.page_token.as_str() {
            "" => Ok(None),
            token => Uuid::parse_str(token).map(Some),
        };
        bad.check(before.is_ok(), "page_token", "must be a next_page_token or empty");
        bad.finish()?;
        let size = if request.page_size == 0 { 50 } else { request.page_size };
        let found = self
            .store
            .orders(&request.symbol, request.open_only, before.unwrap_or_default(), i64::from(size))
            .await
            .map_err(failure)?;
        let full = found.len() == size as usize;
        let next = found.last().filter(|_| full).map(|last| last.id.to_string());
        Ok(Response::new(ListOrdersResponse {
            orders: found.into_iter().map(|found| order(found, Vec::new())).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn get_account(
        &self,
        _: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        Ok(Response::new(account(&self.desk.now())))
    }

    async fn get_order_book(
        &self,
        request: Request<GetOrderBookRequest>,
    ) -> Result<Response<GetOrderBookResponse>, Status> {
        let GetOrderBookRequest { symbol, depth } = request.into_inner();
        let mut bad = Violations::default();
        bad.check(depth <= 100, "depth", "must be 1 to 100, or 0 for 10");
        bad.finish()?;
        let depth = if depth == 0 { 10 } else { depth as usize };
        let exchange = self.desk.now();
        let book = exchange.book(&symbol).map_err(|refusal| failure(refusal.into()))?;
        Ok(Response::new(GetOrderBookResponse {
            bids: book.bids.iter().take(depth).map(level).collect(),
            asks: book.asks.iter().take(depth).map(level).collect(),
            at: exchange.price(&symbol).map(|(_, at)| timestamp(at)),
            symbol,
        }))
    }

    async fn list_markets(
        &self,
        _: Request<ListMarketsRequest>,
    ) -> Result<Response<ListMarketsResponse>, Status> {
        let exchange = self.desk.now();
        let markets = exchange.rules().markets.iter();
        let markets = markets.map(|of| market(of, exchange.price(&of.symbol))).collect();
        Ok(Response::new(ListMarketsResponse { markets }))
    }

    async fn get_pnl(&self, _: Request<GetPnlRequest>) -> Result<Response<GetPnlResponse>, Status> {
        Ok(Response::new(GetPnlResponse { pnl: Some(pnl(&self.desk.now())) }))
    }

    async fn stream_pnl(
        &self,
        request: Request<StreamPnlRequest>,
    ) -> Result<Response<BoxStream<StreamPnlResponse>>, Status> {
        let interval = request.into_inner().interval_ms;
        let mut bad = Violations::default();
        let fits = interval == 0 || (FASTEST..=SLOWEST).contains(&interval);
        bad.check(fits, "interval_ms", "must be 50 to 3,600,000, or 0 for 1,000");
        bad.finish()?;
        let interval = if interval == 0 { USUAL } else { interval };
        let interval = Duration::from_millis(u64::from(interval));
        let mut events = self.desk.watch();
        let shutdown = self.shutdown.clone();
        let answers = stream! {
            loop {
                let current = pnl(&events.borrow_and_update());
                yield Ok(StreamPnlResponse { pnl: Some(current) });
                let next = async {
                    tokio::time::sleep(interval).await;
                    events.changed().await
                };
                match shutdown.run_until_cancelled(next).await {
                    Some(Ok(())) => {}
                    _ => {
                        yield Err(Status::unavailable("the service is stopping"));
                        return;
                    }
                }
            }
        };
        Ok(Response::new(Box::pin(answers)))
    }
}
