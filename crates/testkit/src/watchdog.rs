//! Ends the databases of a test that was killed, and removes their folders.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

/// Writes down which process the folder's database is now.
pub(crate) fn note(folder: &Path, database: Option<u32>) {
    let pid = database.expect("it runs").to_string();
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
