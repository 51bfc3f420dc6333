//! The orchestrator: agents, durable runs and their tools.

fn main() -> std::process::ExitCode {
    alina_service::run(alina_proto::Service::Orchestrator, alina_orchestrator::build)
}
