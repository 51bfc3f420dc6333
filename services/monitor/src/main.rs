//! The program `alina-monitor`.

fn main() -> std::process::ExitCode {
    alina_service::run(alina_proto::Service::Monitor, alina_monitor::build)
}
