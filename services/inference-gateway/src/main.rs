//! The program `alina-inference-gateway`.

use alina_inference_gateway::embedded::probe;

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(argument) if argument == probe::ARGUMENT => probe::main(arguments),
        _ => {
            let service = alina_proto::Service::InferenceGateway;
            alina_service::run(service, alina_inference_gateway::build)
        }
    }
}
