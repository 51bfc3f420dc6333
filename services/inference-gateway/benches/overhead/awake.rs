//! Cores that do not sleep. In a virtual machine a core with nothing to do is taken away, and comes
//! back up to a millisecond late: that is the machine's, and would be told as the gateway's.

use std::process::Stdio;

use tokio::process::{Child, Command};

/// The argument that makes this program the one that keeps a core awake.
pub(crate) const ARGUMENT: &str = "--awake";

/// Keeps `core` awake until it is dropped, by what runs there only when nothing else does.
pub(crate) fn keep(core: &str) -> Child {
    let program = std::env::current_exe().expect("this program");
    Command::new("chrt")
        .args(["--idle", "0", "taskset", "-c", core])
        .arg(program)
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("chrt and taskset are there")
}

/// Spins until the program that started it is gone.
pub(crate) fn spin() -> ! {
    std::thread::spawn(|| {
        // Nothing is ever written: it ends when the other end is closed.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    loop {
        std::hint::spin_loop();
    }
}
