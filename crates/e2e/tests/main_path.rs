//! A goal goes through the whole suite, and what was learned outlives a restart.

#![cfg(test)]

use alina_e2e::{assert_sound, start, wait_for_end};
use alina_proto::{
    Service,
    memory::v1::{GetStatsRequest, ListActionsRequest, SearchRequest},
    orchestrator::v1::{
        AskRequest, ListAlertsRequest, RaiseAlertRequest, ask_response::Event as Ask,
    },
    trading::v1::{OrderState, OrderType, PlaceOrderRequest, Side},
};
use alina_testkit::Suite;
use futures::StreamExt;

#[tokio::test]
async fn a_run_answers_and_is_remembered_and_cited_after_a_restart() {
    let mut suite = Suite::builder().all_services().start().await;
    let connector = suite.connector();
    let goal = "Plan a weekend in Lisbon for two and list what to pack";
    let id = start(&connector, goal).await;
    let run = wait_for_end(&connector, &id).await;
    assert_sound(&connector, &run).await;

    // The memory reset: every service starts anew, only the database remains.
    for service in Service::ALL {
        suite.kill(service).await;
    }
    for service in Service::ALL {
        suite.restart(service).await;
    }
    let connector = suite.connector();

    let found = connector
        .memory()
        .search(SearchRequest { query: "Lisbon weekend".to_owned(), ..SearchRequest::default() })
        .await
        .unwrap()
        .into_inner();
    assert!(found.results.iter().any(|result| result.source.contains(&id)), "{found:?}");

    let question = AskRequest { question: "what did we plan?".to_owned(), ..AskRequest::default() };
    let mut answer = connector.orchestrator().ask(question).await.unwrap().into_inner();
    let Some(Ok(first)) = answer.next().await else { panic!("the context comes first") };
    let Some(Ask::Context(context)) = first.event else { panic!("the context comes first") };
    assert!(context.context.contains("Lisbon"), "{}", context.context);
    assert!(context.citations.iter().any(|citation| citation.source.contains(&id)));
    let mut whole = String::new();
    while let Some(event) = answer.next().await {
        if let Some(Ask::Answer(text)) = event.unwrap().event {
            whole = text;
        }
    }
    assert!(!whole.trim().is_empty(), "the answer comes last");

    let log = connector
        .memory()
        .list_actions(ListActionsRequest { run_id: id.clone(), ..ListActionsRequest::default() })
        .await
        .unwrap()
        .into_inner();
    let finished = log.actions.iter().filter(|action| action.action == "run.finished").count();
    assert_eq!(finished, 1, "{log:?}");
    let stats = connector.memory().get_stats(GetStatsRequest::default()).await.unwrap();
    assert!(stats.into_inner().episodes > 0);
}

#[tokio::test]
async fn a_breach_in_trading_reaches_the_orchestrator() {
    let suite = Suite::builder()
        .service(Service::Trading)
        .service(Service::Orchestrator)
        .service(Service::Memory)
        .set("trading.alerts.max_drawdown", serde_json::json!("0.0000001"))
        .start()
        .await;
    let connector = suite.connector();
    let order = connector
        .trading()
        .place_order(PlaceOrderRequest {
            client_order_id: "e2e-1".to_owned(),
            symbol: "BTC/USDT".to_owned(),
            side: Side::Buy.into(),
            r#type: OrderType::Market.into(),
            quantity: "0.01".to_owned(),
            ..PlaceOrderRequest::default()
        })
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    assert_eq!(order.state(), OrderState::Filled);

    // The fee alone is a drawdown: the alert must come.
    let mut told = false;
    for _ in 0..100 {
        let alerts =
            connector.orchestrator().list_alerts(ListAlertsRequest::default()).await.unwrap();
        told = alerts.into_inner().alerts.iter().any(|alert| alert.source == "trading");
        if told {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert!(told, "the alert reached the orchestrator");
    let nameless = connector.orchestrator().raise_alert(RaiseAlertRequest::default()).await;
    assert_eq!(nameless.unwrap_err().code(), tonic::Code::InvalidArgument);
}
