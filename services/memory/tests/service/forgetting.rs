//! Deleting for good.

use alina_proto::{
    Service,
    memory::v1::{
        BankDocument, ExportBankRequest, ForgetRequest, ForgetResponse, GetEntityRequest,
        ImportBankRequest, ListActionsRequest, LogActionRequest, RememberRequest,
        VerifyActionsRequest, VerifyActionsResponse, forget_request::Target,
    },
};
use alina_testkit::Suite;
use sqlx::AssertSqlSafe;
use tonic::Code;

use crate::{Memory, episode, fact, memory, remember, search};

/// A word of hers that nothing else holds.
const HERS: &str = "xylophonist";

async fn forget(memory: &Memory, target: Target, mentions: bool, dry_run: bool) -> ForgetResponse {
    let target = Some(target);
    let request = ForgetRequest { target, mentions, dry_run, ..ForgetRequest::default() };
    memory.clone().forget(request).await.expect("it is forgotten").into_inner()
}

async fn verified(memory: &Memory, known: Option<&VerifyActionsResponse>) -> VerifyActionsResponse {
    let request = VerifyActionsRequest {
        known_position: known.map_or(0, |known| known.length),
        known_hash: known.map(|known| known.head.clone()).unwrap_or_default(),
        ..VerifyActionsRequest::default()
    };
    memory.clone().verify_actions(request).await.unwrap().into_inner()
}

async fn log(memory: &Memory, actor: &str, summary: &str) {
    let request = LogActionRequest {
        idempotency_key: summary.len().to_string(),
        actor: actor.to_owned(),
        action: "said".to_owned(),
        summary: summary.to_owned(),
        ..LogActionRequest::default()
    };
    memory.clone().log_action(request).await.unwrap();
}

/// Where in the database the text is.
async fn places(suite: &Suite, text: &str) -> Vec<String> {
    let pool = suite.db().pool().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.table_name::text, c.column_name::text
           FROM information_schema.columns c JOIN information_schema.tables t
             USING (table_schema, table_name)
          WHERE table_schema = 'memory' AND table_type = 'BASE TABLE'
            AND NOT (SELECT relispartition FROM pg_class
                      WHERE oid = format('memory.%I', c.table_name)::regclass)",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(columns.len() > 50);
    let mut places = Vec::new();
    for (table, column) in columns {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM memory.{table} WHERE {column}::text ILIKE '%{text}%')"
        );
        let is: bool = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
        if is {
            places.push(format!("{table}.{column}"));
        }
    }
    places
}

/// What she said, what was concluded, what others said of her, what was logged.
async fn life(memory: &Memory) -> (String, String) {
    let mut said = episode(&format!("I am a {HERS}"));
    if let Some(episode) = &mut said.episode {
        episode.actor = "Fay Wilde".to_owned();
        episode.session = "s1".to_owned();
    }
    said.idempotency_key = "key-1".to_owned();
    said.facts = vec![fact("Fay Wilde", "is", HERS)];
    let said = remember(memory, said).await;
    let mut sticks = fact("Shop", "sells_sticks_to", "Fay Wilde");
    sticks.derived_from = said.fact_ids.clone();
    remember(memory, RememberRequest { facts: vec![sticks], ..Default::default() }).await;
    remember(memory, episode("Gus asked fay wilde, politely, for a song")).await;
    let other = remember(memory, episode("Fayette is a county; wilderness is not Wilde")).await;
    log(memory, "Fay Wilde", "logged in").await;
    log(memory, "agent:planner", "planned").await;
    log(memory, "agent:planner", "wrote to Fay Wilde").await;
    (said.fact_ids[0].clone(), other.episode_id)
}

async fn counted(suite: &Suite) {
    let pool = suite.db().pool().await;
    for _ in 0..100 {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM memory.uncounted")
            .fetch_one(&pool)
            .await
            .unwrap();
        if left == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("words stay uncounted");
}

/// What is read out of texts in the background would come to the counts, sooner or later.
async fn unread() -> Suite {
    Suite::builder()
        .service(Service::Memory)
        .set("memory.extraction.rules", serde_json::json!(false))
        .start()
        .await
}

#[tokio::test]
async fn nothing_of_an_actor_is_left_and_the_log_stays_verifiable() {
    let mut suite = unread().await;
    let memory = memory(&suite.connector());
    life(&memory).await;
    counted(&suite).await;
    let entity = GetEntityRequest { name: "Fay Wilde".to_owned(), ..Default::default() };
    memory.clone().get_entity(entity).await.unwrap();
    let before = verified(&memory, None).await;
    assert!(before.intact && before.length == 3);
    assert!(places(&suite, HERS).await.contains(&"terms.lexeme".to_owned()));
    // Nobody waits for what is kept.
    let mut keys = cached(&mut suite).await;
    for _ in 0..100 {
        if keys > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        keys = cached(&mut suite).await;
    }
    assert_eq!(keys, 1);

    let actor = || Target::Actor("Fay Wilde".to_owned());
    let counted = forget(&memory, actor(), true, true).await;
    assert_eq!(verified(&memory, None).await, before, "a dry run");
    assert_eq!(cached(&mut suite).await, keys);
    let gone = forget(&memory, actor(), true, false).await;
    assert!(gone.caches_cleared);
    assert_eq!(cached(&mut suite).await, 0);
    assert_eq!((gone.episodes, gone.facts, gone.tombstones), (2, 2, 2));
    let same = ForgetResponse { caches_cleared: false, ..gone.clone() };
    assert_eq!(counted, same, "a dry run counts the same");

    for text in [HERS, "fay wilde", "Fay", "politely"] {
        let left = places(&suite, text).await;
        // Fayette is somebody else.
        assert!(text == "Fay" || left.is_empty(), "{text}: {left:?}");
    }
    assert!(
        places(&suite, "Fay")
            .await
            .iter()
            .all(|place| place.starts_with("items.") || place.starts_with("terms."))
    );
    assert_eq!(search(&memory, HERS).await.len(), 0);
    let after = verified(&memory, Some(&before)).await;
    assert!(after.intact, "{after:?}");
    assert_eq!((after.length, after.tombstones), (4, 2));

    let request = ListActionsRequest::default();
    let told = memory.clone().list_actions(request).await.unwrap().into_inner().actions;
    let told: Vec<_> =
        told.iter().map(|action| (action.action.as_str(), action.forgotten)).collect();
    assert_eq!(told, [("memory.forgotten", false), ("", true), ("said", false), ("", true)]);
    // Again there is nothing, and nothing is logged.
    assert_eq!(forget(&memory, actor(), true, false).await.episodes, 0);
    assert_eq!(verified(&memory, None).await.length, 4);
    // Deleting what tells of deletions would make tampering of it.
    forget(&memory, Target::Actor("user".to_owned()), false, false).await;
    assert!(verified(&memory, Some(&after)).await.intact);
}

/// How many answers Redis keeps.
async fn cached(suite: &mut Suite) -> usize {
    let url = suite.redis().expect("Redis").url();
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("alina:memory:*").query_async(&mut connection).await.unwrap();
    keys.len()
}

#[tokio::test]
async fn counts_of_words_are_those_of_what_is_left() {
    let suite = unread().await;
    let memory = memory(&suite.connector());
    life(&memory).await;
    counted(&suite).await;
    forget(&memory, Target::Entity("Fay Wilde".to_owned()), false, false).await;
    counted(&suite).await;
    let wrong: Vec<(String, i64)> = sqlx::query_as(
        "SELECT coalesce(t.lexeme, r.lexeme), coalesce(t.items, 0) - coalesce(r.items, 0)
           FROM memory.terms t FULL JOIN (
             SELECT lexeme, count(*) AS items
               FROM memory.items, unnest(tsvector_to_array(tsv) || '{\"\"}'::text[]) AS lexeme
              GROUP BY lexeme) AS r USING (lexeme)
          WHERE t.items IS DISTINCT FROM r.items",
    )
    .fetch_all(&suite.db().pool().await)
    .await
    .unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test]
async fn what_still_names_an_entity_is_told() {
    let suite = unread().await;
    let memory = memory(&suite.connector());
    let (_, other) = life(&memory).await;
    let document = BankDocument {
        path: "team.md".to_owned(),
        content: "# Team\nFay Wilde sings.\n".to_owned(),
    };
    let bank = ImportBankRequest { documents: vec![document], ..ImportBankRequest::default() };
    memory.clone().import_bank(bank).await.unwrap();
    let gone = forget(&memory, Target::Entity("fay wilde".to_owned()), false, false).await;
    assert_eq!((gone.episodes, gone.facts, gone.entities), (1, 2, 2), "{gone:?}");
    // What Gus asked, the section, the document; not the county.
    assert_eq!(gone.remaining_mentions.len(), 3, "{:?}", gone.remaining_mentions);
    assert!(gone.remaining_mentions.contains(&"team.md".to_owned()));
    assert!(!gone.remaining_mentions.contains(&other));
    let error = memory
        .clone()
        .forget(ForgetRequest {
            target: Some(Target::Entity("Fay Wilde".to_owned())),
            ..ForgetRequest::default()
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}

#[tokio::test]
async fn exports_that_hold_it_are_listed() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let export = async || {
        memory.clone().export_bank(ExportBankRequest::default()).await.unwrap();
    };
    export().await;
    let (fact, _) = life(&memory).await;
    export().await;
    export().await;
    let gone = forget(&memory, Target::Id(fact), false, false).await;
    assert_eq!(gone.exports.len(), 2, "the first was before");
    assert!(gone.exports[0].at.unwrap().seconds >= gone.exports[1].at.unwrap().seconds);
    assert!(gone.exports.iter().all(|export| export.items == 2), "{:?}", gone.exports);
}

#[tokio::test]
async fn a_request_sent_again_does_not_bring_back_what_is_forgotten() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    let request = RememberRequest { idempotency_key: "once".to_owned(), ..episode("a secret") };
    let written = remember(&memory, request.clone()).await;
    forget(&memory, Target::Id(written.episode_id), false, false).await;
    let error = memory.clone().remember(request).await.unwrap_err();
    assert_eq!(alina_client::reason(&error).as_deref(), Some("KEY_REUSED"));
    assert!(search(&memory, "secret").await.is_empty());
}

#[tokio::test]
async fn without_redis_it_is_forgotten_and_told_that_copies_go_by_themselves() {
    let mut suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    life(&memory).await;
    suite.redis().unwrap().kill().await;
    let gone = forget(&memory, Target::Session("s1".to_owned()), false, false).await;
    assert!(!gone.caches_cleared && gone.episodes == 1);
}

#[tokio::test]
async fn targets_are_checked() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    for (target, mentions, field) in [
        (None, false, "target"),
        (Some(Target::Id("1".to_owned())), false, "id"),
        (Some(Target::Session("s".to_owned())), true, "mentions"),
        (Some(Target::Actor(String::new())), false, "actor"),
    ] {
        let request = ForgetRequest { target, mentions, ..ForgetRequest::default() };
        let error = memory.clone().forget(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains(field), "{field}: {}", error.message());
    }
}
