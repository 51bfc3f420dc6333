//! The contract of AgentAlina: types generated from `proto/`, and the few conversions that every
//! user of them needs. Nothing else crosses between services.

mod service;
pub mod time;

use std::{collections::HashSet, sync::LazyLock};

use prost::Message;
use prost_types::FileDescriptorSet;

pub use service::{Service, UnknownService};

/// Every file of `proto/` with its imports, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Every method of the contract, for example `alina.memory.v1.MemoryService/Search`.
pub fn methods() -> &'static HashSet<String> {
    static METHODS: LazyLock<HashSet<String>> = LazyLock::new(|| {
        // What this crate's own build script encoded decodes; a fault shows in the test below.
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
        let services = files
            .file
            .iter()
            .flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
        services
            .flat_map(|(package, service)| {
                let methods = service.method.iter();
                methods.map(move |method| format!("{package}.{}/{}", service.name(), method.name()))
            })
            .collect()
    });
    &METHODS
}

/// The domain of every `google.rpc.ErrorInfo` the services send.
pub const ERROR_DOMAIN: &str = "alina";

macro_rules! package {
    ($(#[$doc:meta])* $name:ident, $package:literal) => {
        $(#[$doc])*
        pub mod $name {
            /// Version 1.
            #[expect(
                missing_docs,
                clippy::allow_attributes,
                clippy::allow_attributes_without_reason,
                reason = "generated from proto/, where the documentation is"
            )]
            pub mod v1 {
                tonic::include_proto!($package);
            }
        }
    };
}

package! {
    /// Language and embedding models.
    inference, "alina.inference.v1"
}

package! {
    /// The knowledge graph, the action log and the memory bank.
    memory, "alina.memory.v1"
}

package! {
    /// Agents and their runs.
    orchestrator, "alina.orchestrator.v1"
}

package! {
    /// Orders, positions, profit and loss.
    trading, "alina.trading.v1"
}

package! {
    /// The state of the suite and its machine.
    monitor, "alina.monitor.v1"
}

package! {
    /// Scores and versions of instructions.
    optimizer, "alina.optimizer.v1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_its_methods() {
        assert!(methods().contains("alina.memory.v1.MemoryService/Search"));
        for service in Service::ALL {
            let prefix = format!("{}/", service.grpc_name());
            assert!(methods().iter().any(|method| method.starts_with(&prefix)), "{service}");
        }
    }
}
