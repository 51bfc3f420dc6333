//! The program `alina-inference-gateway`.

use alina_inference_gateway::embedded::{probe, quantize};

/// Beginnings of prompts are kept and dropped in pieces of some megabytes: with glibc's allocator,
/// which keeps such pieces, the process grew by 2 % with every 500 requests.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
