//! The memory: what agents know, when it was true and where it came from.

fn main() -> std::process::ExitCode {
    alina_service::run(alina_proto::Service::Memory, alina_memory::build)
}
