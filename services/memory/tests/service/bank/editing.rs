//! Agents edit documents of which there are no files.

use alina_proto::{
    Service,
    memory::v1::{
        BankDocument, ForgetRequest, GetStatsRequest, ImportBankRequest, ListActionsRequest,
        SearchRequest, edit_document_request::Edit, forget_request::Target,
    },
};
use alina_testkit::Suite;
use tonic::Code;

use super::{append, content, edit, get, list, send};
use crate::{Memory, memory, search};

const DOCUMENT: &str = "# Brief\n\nWhat it is.\n\n## Goals\n\n- fast boats\n\n## Gaps\n\nnone\n";

async fn import(memory: &Memory, path: &str, content: &str) {
    let documents = vec![BankDocument { path: path.to_owned(), content: content.to_owned() }];
    let request = ImportBankRequest { documents, ..Default::default() };
    memory.clone().import_bank(request).await.unwrap();
}

fn replace(text: &str) -> Edit {
    Edit::Replace(text.to_owned())
}

#[tokio::test]
async fn a_section_is_edited_found_and_logged() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    import(&memory, "brief.md", DOCUMENT).await;
    let read = get(&memory, "brief.md").await.unwrap();
    let goals = read.sections.iter().find(|at| at.heading == ["Brief", "Goals"]).unwrap();
    assert_eq!(goals.text, "- fast boats");

    let mut request = edit("brief.md", &["Goals"], replace("- slow canoes"), &goals.etag);
    (request.idempotency_key, request.reason) = ("k".to_owned(), "no wind".to_owned());
    let edited = send(&memory, request.clone()).await.unwrap();
    assert!(!edited.created && !edited.unchanged);
    assert_eq!(send(&memory, request.clone()).await.unwrap(), edited, "the same key");
    request.reason.clear();
    let reused = send(&memory, request).await.unwrap_err();
    assert_eq!(alina_client::reason(&reused).as_deref(), Some("KEY_REUSED"));

    let text = content(&memory, "brief.md").await.unwrap();
    assert_eq!(text, DOCUMENT.replace("fast boats", "slow canoes"));
    assert!(search(&memory, "canoes").await.iter().any(|found| found.source == "brief.md"));
    assert!(search(&memory, "boats").await.is_empty(), "what was replaced is not known any more");
    let known_at = read_at(&memory, "boats").await;
    assert!(known_at, "but it was");

    let actions = memory.clone().list_actions(ListActionsRequest::default()).await.unwrap();
    let action = &actions.into_inner().actions[0];
    assert_eq!((action.actor.as_str(), action.action.as_str()), ("agent:writer", "bank.edited"));
    assert_eq!(action.summary, "edited brief.md, Goals: no wind");
}

/// Whether a section with `word` was known right after the start.
async fn read_at(memory: &Memory, word: &str) -> bool {
    let stats = memory.clone().get_stats(GetStatsRequest::default()).await.unwrap().into_inner();
    assert_eq!(stats.documents, 1);
    let now = std::time::SystemTime::now();
    for back in 0..200 {
        let at = prost_types::Timestamp::from(now - std::time::Duration::from_millis(back * 20));
        let request =
            SearchRequest { query: word.to_owned(), known_at: Some(at), ..Default::default() };
        if !memory.clone().search(request).await.unwrap().into_inner().results.is_empty() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn what_has_changed_since_it_was_read_is_not_overwritten() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    import(&memory, "brief.md", DOCUMENT).await;
    let read = get(&memory, "brief.md").await.unwrap();
    let etag = |heading: &str| {
        let section = read.sections.iter().find(|at| at.heading.ends_with(&[heading.to_owned()]));
        section.unwrap().etag.clone()
    };
    append(&memory, "brief.md", &["Goals"], "- dry feet").await;

    let stale = edit("brief.md", &["Goals"], replace("x"), &etag("Goals"));
    let whole = edit("brief.md", &[], replace("x"), &read.etag);
    for request in [stale, whole] {
        let error = send(&memory, request).await.unwrap_err();
        assert_eq!(error.code(), Code::Aborted, "{error:?}");
        assert_eq!(alina_client::reason(&error).as_deref(), Some("STALE_EDIT"));
    }
    // The edit of another section does not matter.
    send(&memory, edit("brief.md", &["Gaps"], replace("wind"), &etag("Gaps"))).await.unwrap();
    let text = content(&memory, "brief.md").await.unwrap();
    let expected = DOCUMENT.replace("boats\n", "boats\n- dry feet\n").replace("none", "wind");
    assert_eq!(text, expected);

    for (request, code, about) in [
        (edit("brief.md", &["Gaps"], replace("x"), ""), Code::InvalidArgument, "base_etag"),
        (edit("brief.md", &["Goal"], replace("x"), ""), Code::NotFound, "Brief › Goals"),
        (edit("none.md", &["Goals"], replace("x"), ""), Code::NotFound, "none.md"),
        (edit("../x.md", &[], replace("x"), ""), Code::InvalidArgument, "path"),
        (edit("learned.md", &[], replace("x"), ""), Code::InvalidArgument, "path"),
        (edit("a.conflict-0123abcd.md", &[], replace("x"), ""), Code::InvalidArgument, "path"),
        (
            edit("brief.md", &["Gaps"], Edit::Append("```\n".into()), ""),
            Code::InvalidArgument,
            "edit",
        ),
        (edit("brief.md", &[], Edit::Append(" \n".into()), ""), Code::InvalidArgument, "append"),
        (
            edit("brief.md", &[], Edit::Append("x".repeat(1 << 20)), ""),
            Code::InvalidArgument,
            "1 MiB",
        ),
    ] {
        let error = send(&memory, request).await.unwrap_err();
        assert_eq!(error.code(), code, "{about}: {error:?}");
        assert!(error.message().contains(about), "{about}: {}", error.message());
    }
    assert_eq!(content(&memory, "brief.md").await.unwrap(), expected);
}

#[tokio::test]
async fn a_copy_taken_in_again_is_merged_with_what_agents_edited() {
    let suite = Suite::builder().service(Service::Memory).start().await;
    let memory = memory(&suite.connector());
    import(&memory, "brief.md", DOCUMENT).await;
    append(&memory, "brief.md", &["Goals"], "- dry feet").await;
    // The copy as it was does not undo the edit, and one that was edited elsewhere is put together.
    import(&memory, "brief.md", DOCUMENT).await;
    let edited = DOCUMENT.replace("boats\n", "boats\n- dry feet\n");
    assert_eq!(content(&memory, "brief.md").await.unwrap(), edited);
    let copy = DOCUMENT.replace("What it is.", "What it was.");
    import(&memory, "brief.md", &copy).await;
    let both = edited.replace("What it is.", "What it was.");
    assert_eq!(content(&memory, "brief.md").await.unwrap(), both);
    assert!(list(&memory).await.conflicts.is_empty());

    // A real conflict: the copy's is kept, the agent's set aside.
    let other = copy.replace("boats\n", "boats\n- no leaks\n");
    import(&memory, "brief.md", &other).await;
    assert_eq!(content(&memory, "brief.md").await.unwrap(), other);
    let listed = list(&memory).await;
    let [conflict] = listed.conflicts.as_slice() else { panic!("{listed:?}") };
    assert_eq!(content(&memory, &conflict.name).await.unwrap(), both);

    let target = Some(Target::Document("brief.md".to_owned()));
    let forget = ForgetRequest { target, ..Default::default() };
    let gone = memory.clone().forget(forget).await.unwrap().into_inner();
    assert!(gone.sections >= 5, "{gone:?}");
    let listed = list(&memory).await;
    assert!(listed.documents.is_empty() && listed.conflicts.is_empty(), "{listed:?}");
    assert!(get(&memory, &conflict.name).await.is_err());
}
