//! The trading service: a paper exchange and the ledger over it.

fn main() -> std::process::ExitCode {
    alina_service::run(alina_proto::Service::Trading, alina_trading::build)
}
