//! `alina up` and `alina down`: the suite as child processes of its supervisor.

#![cfg(test)]

use std::{
    fs,
    os::unix::{fs::symlink, process::CommandExt},
    process::{Command, Output},
    time::{Duration, Instant},
};

use alina_proto::Service;
use alina_testkit::{free_port, home, models, repository};
use serde_json::Value;
use sqlx::Connection;
use tempfile::TempDir;

/// A project folder with ports of its own; its suite ends with this.
struct Project {
    folder: TempDir,
    settings: Vec<(String, String)>,
    postgres: u16,
}

impl Project {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        // PostgreSQL runs as another user when we are root.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open).unwrap();
        fs::copy(repository().join("config.yaml"), folder.path().join("config.yaml")).unwrap();
        fs::create_dir(folder.path().join(".alina")).unwrap();
        symlink(home().join("venv"), folder.path().join(".alina/venv")).unwrap();
        symlink(models(), folder.path().join(".alina/models")).unwrap();

        let (postgres, redis) = (free_port(), free_port());
        let mut settings = vec![
            ("POSTGRES__URL".to_owned(), format!("postgres://alina@127.0.0.1:{postgres}/alina")),
            ("REDIS__URL".to_owned(), format!("redis://127.0.0.1:{redis}/")),
        ];
        for service in Service::ALL {
            let key = format!("SERVICES__{}", service.key().to_uppercase());
            let (listen, metrics) = (free_port(), free_port());
            settings.push((format!("{key}__LISTEN"), format!("127.0.0.1:{listen}")));
            settings.push((format!("{key}__METRICS"), format!("127.0.0.1:{metrics}")));
            settings.push((format!("{key}__URL"), format!("http://127.0.0.1:{listen}")));
        }
        Self { folder, settings, postgres }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Output {
        let own = std::env::current_exe().unwrap();
        let mut command = Command::new(own.ancestors().nth(2).unwrap().join("alina"));
        for (name, value) in &self.settings {
            command.env(format!("ALINA__{name}"), value);
        }
        command.args(["--output", "json", "--config"]).arg(self.path("config.yaml")).args(words);
        // Not of the test's group: what it starts is to be ended by `down`, or by nobody.
        command.process_group(0).output().unwrap()
    }

    fn alina(&self, words: &[&str]) -> Value {
        let output = self.command(words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "alina {}: {text}", words.join(" "));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The children's processes by name, once all are healthy and `other` than before.
    #[expect(clippy::disallowed_methods, reason = "there is no runtime to block")]
    fn children(&self, other: &[(String, u64)]) -> Vec<(String, u64)> {
        let begun = Instant::now();
        loop {
            let status = self.alina(&["status"]);
            let children = status["children"].as_array().unwrap();
            let healthy =
                children.len() == 8 && children.iter().all(|child| child["healthy"] == true);
            let now: Vec<_> = children
                .iter()
                .filter_map(|child| {
                    Some((child["name"].as_str()?.to_owned(), child["pid"].as_u64()?))
                })
                .collect();
            if healthy && now.iter().all(|child| !other.contains(child)) {
                return now;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "not healthy: {status}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn supervisor(&self) -> String {
        fs::read_to_string(self.path(".alina/run/supervisor.pid")).unwrap()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.command(&["down"]);
    }
}

fn kill(pid: impl ToString) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

fn lives(pid: u64) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}

#[test]
fn up_is_repeatable_and_down_leaves_nothing() {
    let project = Project::new();
    assert_eq!(project.alina(&["up"])["already_running"], false);
    let children = project.children(&[]);
    assert_eq!(project.alina(&["up"])["already_running"], true);
    assert_eq!(project.children(&[]), children);

    assert_eq!(project.alina(&["down"])["was_running"], true);
    assert_eq!(children.iter().filter(|(_, pid)| lives(*pid)).count(), 0);
    assert_eq!(project.alina(&["down"])["was_running"], false);
}

#[test]
fn every_killed_child_is_started_again() {
    let project = Project::new();
    project.alina(&["up"]);
    let before = project.children(&[]);
    for (_, pid) in &before {
        kill(pid);
    }
    let after = project.children(&before);
    assert_eq!(after.len(), 8, "{after:?}");
}

#[test]
fn what_a_killed_supervisor_left_is_taken_over() {
    let project = Project::new();
    project.alina(&["up"]);
    let before = project.children(&[]);
    kill(project.supervisor());
    assert!(before.iter().all(|(_, pid)| lives(*pid)), "children outlive a killed supervisor");

    assert_eq!(project.alina(&["up"])["already_running"], false);
    project.children(&before);
    assert_eq!(before.iter().filter(|(_, pid)| lives(*pid)).count(), 0);
}

#[test]
fn postgres_asks_for_the_password_and_follows_a_new_one() {
    let project = Project::new();
    project.alina(&["up"]);
    let secret = project.path(".alina/secrets/postgres_password");
    let first = fs::read_to_string(&secret).unwrap();
    assert!(answers(&project, &first));
    assert!(!answers(&project, "wrong"));

    project.alina(&["down"]);
    fs::remove_file(&secret).unwrap();
    project.alina(&["up"]);
    let second = fs::read_to_string(&secret).unwrap();
    assert_ne!(first, second);
    assert!(answers(&project, &second));
    assert!(!answers(&project, &first));
}

/// Whether PostgreSQL lets `alina` in with this password.
fn answers(project: &Project, password: &str) -> bool {
    let url = format!("postgres://alina:{password}@127.0.0.1:{}/alina", project.postgres);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(sqlx::PgConnection::connect(&url)).is_ok()
}

#[test]
fn a_taken_port_is_named_with_its_key() {
    let project = Project::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", project.postgres)).unwrap();
    let output = project.command(&["up"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let port = project.postgres.to_string();
    assert!(text.contains(&port) && text.contains("postgres.url"), "{text}");
    drop(taken);
}
