//! Ends the databases of a test that was killed, and removes their folders.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

/// Writes down which process the folder's database is now.
pub(crate) fn note(folder: &Path, database: Option<u32>) {
    // A whole line: the shell's `read` fails at an end before one.
    let pid = format!("{}\n", database.expect("it runs"));
    fs::write(folder.join("pid"), pid).expect("the temporary folder is writable");
}

/// Waits for this test to end.
pub(crate) fn start_for_this(folder: &Path) {
    let own = i32::try_from(std::process::id()).expect("process ids fit");
    start(own, folder);
}

/// Waits for the process `served` to end.
pub(crate) fn start(served: i32, folder: &Path) {
    // In the background of a shell that ends at once: nobody waits for it, and it outlives us. A
    // test that ends well has removed its folder itself.
    let script = r#"(while kill -0 "$1"; do sleep 0.5; done; read -r pid <"$2/pid" && kill -QUIT "$pid"
        while kill -0 "$pid"; do sleep 0.1; done; rm -rf "$2") &"#;
    let shell = Command::new("/bin/sh")
        .args(["-c", script, "alina-testkit", &served.to_string()])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .status();
    assert!(shell.is_ok_and(|status| status.success()), "/bin/sh starts the watchdog");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_a_killed_test_leaves_is_ended_and_removed() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut database = Command::new("sleep").arg("600").spawn().unwrap();
        let mut test = Command::new("true").spawn().unwrap();
        note(&folder, Some(database.id()));
        start(i32::try_from(test.id()).unwrap(), &folder);
        test.wait().unwrap();
        let ended = tokio::task::spawn_blocking(move || database.wait());
        let status = tokio::time::timeout(Duration::from_secs(20), ended).await;
        assert!(!status.expect("the database is ended").unwrap().unwrap().success());
        for _ in 0..100 {
            if !folder.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} is still there", folder.display());
    }
}
