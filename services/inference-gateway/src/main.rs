//! The program `alina-inference-gateway`.

use alina_inference_gateway::embedded::{probe, quantize};

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(argument) if argument == probe::ARGUMENT => probe::main(arguments),
        Some(argument) if argument == quantize::ARGUMENT => quantize::main(arguments),
        _ => {
            let service = alina_proto::Service::InferenceGateway;
            alina_service::run(service, alina_inference_gateway::build)
        }
    }
}
