//! `alina plan`.

use std::{fs, io, path::Path};

use owo_colors::OwoColorize;
use serde_json::json;

use crate::{
    failure::Failure,
    output::{Output, table},
    plan::{Machine, Plan},
    session::Session,
    suite::make_secret,
};

/// Files that containers read, made once.
const SECRETS: [&str; 3] = ["postgres_password", "grpc_tokens", "grafana_admin_password"];

pub(super) fn plan(dry_run: bool, session: &Session, output: Output) -> Result<(), Failure> {
    let common = session.common()?;
    let machine = Machine::read();
    let plan = Plan::new(&common, &machine);
    let file = common.path(".env");
    if !dry_run {
        write_env(&file, &plan)?;
        for name in SECRETS {
            make_secret(&session.layout.secrets().join(name))?;
        }
    }
    let value = json!({
        "machine": { "cpus": machine.cpus, "memory_mb": machine.memory_mb },
        "shares": plan.shares.iter().map(|share| json!({
            "name": share.name,
            "cpu_set": share.cpu_list(),
            "cpus": share.cpus,
            "memory_mb": share.memory_mb,
        })).collect::<Vec<_>>(),
        "cpu_shares": plan.cpu_shares,
        "written": (!dry_run).then_some(&file),
    });
    output.show(&value, |out| {
        let (cpus, memory) = (machine.cpus.len(), machine.memory_mb);
        writeln!(out, "this machine: {cpus} CPUs, {memory} MiB")?;
        let mut rows = table(["part", "CPU set", "CPUs at most", "memory at most"]);
        for share in &plan.shares {
            rows.add_row([
                share.name.to_owned(),
                share.cpu_list(),
                format!("{:.2}", share.cpus),
                format!("{} MiB", share.memory_mb),
            ]);
        }
        writeln!(out, "{rows}")?;
        if !dry_run {
            let secrets = session.layout.secrets();
            writeln!(out, "{} {} and {}", "✓ wrote".green(), file.display(), secrets.display())?;
            writeln!(out, "  docker compose build && docker compose up -d --wait")?;
        }
        Ok(())
    })
}

/// Replaces the plan's variables in `.env` and keeps every other line.
fn write_env(file: &Path, plan: &Plan) -> Result<(), Failure> {
    let old = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::other(format!("{}: {error}", file.display()))),
    };
    let draft = file.with_extension("draft");
    let write = || {
        fs::write(&draft, merged(&old, &plan.variables())).and_then(|()| fs::rename(&draft, file))
    };
    write().map_err(|error| Failure::other(format!("{}: {error}", file.display())))
}

fn merged(old: &str, variables: &[(String, String)]) -> String {
    let planned = |line: &&str| {
        let name = line.split('=').next().unwrap_or_default().trim();
        variables.iter().any(|(known, _)| known == name)
    };
    let kept = old.lines().filter(|line| !planned(line)).map(str::to_owned);
    let fresh = variables.iter().map(|(name, value)| format!("{name}={value}"));
    kept.chain(fresh).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_of_env_stay() {
        let old = "MINE=1\nALINA_CPUSET_MEMORY=7\n# a comment\n";
        let variables = [("ALINA_CPUSET_MEMORY".to_owned(), "0-1".to_owned())];
        assert_eq!(merged(old, &variables), "MINE=1\n# a comment\nALINA_CPUSET_MEMORY=0-1\n");
    }
}
