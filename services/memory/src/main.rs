//! The memory: what agents know, when it was true and where it came from.

/// A search makes and drops some thousands of small values: glibc's allocator took a fifth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    alina_service::run(alina_proto::Service::Memory, alina_memory::build)
}
