//! PostgreSQL's data folder: made, owned by the right user, closed to whoever has no password.

use std::{
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Output, Stdio},
};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::{LocalError, PostgresOptions, PostgresPrograms};

/// The user that owns and runs PostgreSQL when we are root, which it refuses to be: nobody.
const NOBODY: u32 = 65_534;

/// Who may connect: everybody on loopback who knows the password. Trusting loopback would let each
/// user of the machine run programs as the server's.
const HBA: &str = "# Written by alina at each start.\n\
                   host all all 127.0.0.1/32 scram-sha-256\n\
                   host replication all 127.0.0.1/32 scram-sha-256\n";

/// Makes the folder when absent, with the superuser `alina`.
pub(crate) async fn prepare(
    programs: &PostgresPrograms,
    options: &PostgresOptions,
) -> Result<(), LocalError> {
    make_executable(programs)?;
    if let Some(archive) = &options.archive {
        std::fs::create_dir_all(archive).map_err(LocalError::path(archive))?;
        std::fs::set_permissions(archive, PermissionsExt::from_mode(0o700))
            .map_err(LocalError::path(archive))?;
        own(archive)?;
    }
    let data = &options.data;
    if data.join("PG_VERSION").is_file() {
        own(data)?;
        return write_hba(data);
    }
    std::fs::create_dir_all(data).map_err(LocalError::path(data))?;
    std::fs::set_permissions(data, PermissionsExt::from_mode(0o700))
        .map_err(LocalError::path(data))?;
    own(data)?;
    let mut initdb = as_nobody(programs, "initdb", data);
    initdb
        .args(["--username=alina", "--auth=reject", "--encoding=UTF8", "--locale=C.UTF-8"])
        .arg("--no-instructions")
        .args((!options.durable).then_some("--no-sync"))
        .arg(format!("--pgdata={}", data.display()));
    let output =
        initdb.output().await.map_err(|cause| LocalError::Process { program: "initdb", cause })?;
    check("initdb", &output)?;
    write_hba(data)?;
    set_password(programs, options).await
}

/// Gives `alina` the password, without a server: none may run on the folder.
pub(crate) async fn set_password(
    programs: &PostgresPrograms,
    options: &PostgresOptions,
) -> Result<(), LocalError> {
    let failed = |cause| LocalError::Process { program: "postgres --single", cause };
    let password = options.password()?.replace('\'', "''");
    let mut command = as_nobody(programs, "postgres", &options.data);
    command.arg("--single").arg("-D").arg(&options.data).arg("postgres");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        let statement = format!("ALTER ROLE alina PASSWORD '{password}'\n");
        input.write_all(statement.as_bytes()).await.map_err(failed)?;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    check("postgres --single", &output)
}

fn check(program: &'static str, output: &Output) -> Result<(), LocalError> {
    if output.status.success() {
        return Ok(());
    }
    Err(LocalError::NotReady {
        program,
        cause: output.status.to_string(),
        tail: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn write_hba(data: &Path) -> Result<(), LocalError> {
    let path = data.join("pg_hba.conf");
    if std::fs::read_to_string(&path).is_ok_and(|text| text == HBA) {
        return Ok(());
    }
    std::fs::write(&path, HBA).map_err(LocalError::path(&path))?;
    own(&path)
}

/// One of PostgreSQL's programs, run as nobody when we are root.
pub(crate) fn as_nobody(programs: &PostgresPrograms, name: &str, data: &Path) -> Command {
    let program = programs.program(name);
    let mut command = if !is_root() {
        Command::new(program)
    } else if is_open(&program) && is_open(data) {
        let mut command = Command::new(program);
        // Dropping root this way clears its supplementary groups as well.
        command.uid(NOBODY).gid(NOBODY);
        command
    } else {
        // Below a folder only root may enter, such as /root: the one capability that lets it pass.
        // It can read every file by it, so can whoever knows the password.
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
            .args(["--clear-groups", "--inh-caps=-all,+dac_read_search"])
            .args(["--ambient-caps=+dac_read_search", "--bounding-set=-all,+dac_read_search"])
            .arg(program);
        command
    };
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether every user may pass through the folders above `path`.
fn is_open(path: &Path) -> bool {
    let mut above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    above.all(|folder| folder.metadata().is_ok_and(|folder| folder.permissions().mode() & 0o1 != 0))
}

/// Gives it to the user that runs the server.
fn own(path: &Path) -> Result<(), LocalError> {
    if !is_root() {
        return Ok(());
    }
    chown(path, Some(NOBODY), Some(NOBODY)).map_err(LocalError::path(path))
}

/// The wheel's files may have lost their mode bits.
fn make_executable(programs: &PostgresPrograms) -> Result<(), LocalError> {
    for name in ["postgres", "initdb"] {
        let program = programs.program(name);
        let mode = program.metadata().map_err(LocalError::path(&program))?.permissions().mode();
        if mode & 0o111 != 0o111 {
            std::fs::set_permissions(&program, PermissionsExt::from_mode(mode | 0o755))
                .map_err(LocalError::path(&program))?;
        }
    }
    Ok(())
}
