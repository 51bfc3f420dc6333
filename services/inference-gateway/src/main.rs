//! The program `alina-inference-gateway`.

fn main() -> std::process::ExitCode {
    alina_service::run(alina_proto::Service::InferenceGateway, alina_inference_gateway::build)
}
