//! Where things are on the machine that runs the tests.

use std::{
    env,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is where it was built")
}

/// `.alina`, or what `ALINA_HOME` names.
#[must_use]
pub fn home() -> PathBuf {
    env::var_os("ALINA_HOME").map_or_else(|| repository().join(".alina"), PathBuf::from)
}

/// The folder with the models: `ALINA_MODELS`, or `models` in [`home`].
#[must_use]
pub fn models() -> PathBuf {
    env::var_os("ALINA_MODELS").map_or_else(|| home().join("models"), PathBuf::from)
}

/// A port of 127.0.0.1 that was free a moment ago, and is given to nobody else of this test run
/// for a while: ports are handed out in turn from a range of this process.
///
/// # Panics
/// When none is free.
#[must_use]
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Below the range from which Linux takes ports for outgoing connections (32768 and up).
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    let own = std::process::id().wrapping_mul(61);
    (0..COUNT)
        .find_map(|_| {
            let offset = own.wrapping_add(u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % COUNT;
            let port = u16::try_from(FIRST + offset).ok()?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
        })
        .expect("a free port")
}
