//! A person and an agent edit the same documents at the same time.

use std::{
    collections::BTreeMap,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use alina_proto::{Service, memory::v1::VerifyActionsRequest};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::Barrier;

use super::{
    Kept, content, list,
    people::{Agent, PATHS, Person, first},
};

/// So many edits of each by default; `ALINA_BANK_EDITS` asks for more.
const EDITS: u32 = 60;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Every edit begins at the same time as one of the other, or up to some tens of milliseconds later.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_edit_of_a_person_is_lost_and_no_edit_of_an_agent_unheard_of() {
    let edits = asked("ALINA_BANK_EDITS").map_or(EDITS, |edits| edits as u32);
    let seed = asked("ALINA_BANK_SEED").unwrap_or_else(rand::random);
    println!("{edits} edits of each, ALINA_BANK_SEED={seed}");
    let mut kept = Kept::start().await;
    for path in PATHS {
        fs::create_dir_all(kept.path().join("sub")).unwrap();
        kept.write(path, &first(path));
    }
    kept.sync().await;

    let begun = Instant::now();
    let both = Arc::new(Barrier::new(2));
    let person = {
        let (mut person, both) = (Person::new(kept.path(), seed), Arc::clone(&both));
        tokio::spawn(async move {
            for _ in 0..edits {
                both.wait().await;
                person.pause(40).await;
                person.edit().await;
            }
            person
        })
    };
    let agent = {
        let mut agent = Agent::new(kept.memory.clone(), seed);
        tokio::spawn(async move {
            for _ in 0..edits {
                both.wait().await;
                agent.pause(40).await;
                agent.edit().await;
            }
            agent
        })
    };
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(2));
    let mut kills = 0;
    while !(person.is_finished() && agent.is_finished()) {
        let pause = random.random_range(1_000..6_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        kept.suite.kill(Service::Memory).await;
        kept.suite.restart(Service::Memory).await;
        kills += 1;
    }
    let (person, agent) = (person.await.unwrap(), agent.await.unwrap());
    println!("{kills} times killed, {} edits refused, {:?}", agent.refused, begun.elapsed());
    at_rest(&kept).await;
    check(&kept, &person, &agent).await;
    resolve(&kept).await;
}

/// What was put aside for a moment is dealt with.
async fn at_rest(kept: &Kept) {
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let told = kept.sync().await;
    assert!(told.problems.is_empty(), "{told:?}");
    let names = [kept.path().to_owned(), kept.path().join("sub")]
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn check(kept: &Kept, person: &Person, agent: &Agent) {
    let files: BTreeMap<&str, String> = PATHS.iter().map(|path| (*path, kept.read(path))).collect();
    let has = |text: &str, line: &str| text.lines().any(|other| other == line);
    for (path, line) in &person.lines {
        assert!(
            has(&files[path.as_str()], line),
            "{line} of {path} is lost:\n{}",
            files[path.as_str()]
        );
    }
    let listed = list(&kept.memory).await;
    let mut aside = String::new();
    for conflict in &listed.conflicts {
        assert!(conflict.written, "{conflict:?}");
        aside += &kept.read(&conflict.name);
    }
    let mut kept_aside = 0;
    for line in &agent.lines {
        let in_file = files.values().any(|text| has(text, line));
        let is_aside = has(&aside, line) || person.resolved.contains(line);
        assert!(
            in_file || is_aside || person.deleted.contains(line),
            "{line} is lost; {listed:?}\n{files:?}"
        );
        kept_aside += u32::from(!in_file && is_aside && !person.deleted.contains(line));
    }
    for (path, file) in &files {
        let stored = content(&kept.memory, path).await;
        assert_eq!(stored.unwrap_or_default(), *file, "{path} is in step");
    }
    let verified = kept.memory.clone().verify_actions(VerifyActionsRequest::default()).await;
    assert!(verified.unwrap().into_inner().intact);
    println!(
        "all {} lines of the person are in the files; of {} of the agent {kept_aside} were set aside, \
         {} conflict files are there still",
        person.lines.len(),
        agent.lines.len(),
        listed.conflicts.len()
    );
}

/// The person deletes the conflict files.
async fn resolve(kept: &Kept) {
    for conflict in list(&kept.memory).await.conflicts {
        fs::remove_file(kept.path().join(conflict.name)).unwrap();
    }
    let told = kept.sync().await;
    assert_eq!(told.conflicts, 0, "{told:?}");
}
