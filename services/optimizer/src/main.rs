//! The program `alina-optimizer`.

fn main() -> std::process::ExitCode {
    alina_service::run(alina_proto::Service::Optimizer, alina_optimizer::build)
}
