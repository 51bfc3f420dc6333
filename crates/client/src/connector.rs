//! Where the services are.

use std::{collections::BTreeMap, fmt, sync::Arc};

use alina_proto::{
    Service, inference::v1::inference_service_client::InferenceServiceClient,
    memory::v1::memory_service_client::MemoryServiceClient,
    monitor::v1::monitor_service_client::MonitorServiceClient,
    optimizer::v1::optimizer_service_client::OptimizerServiceClient,
    orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient,
    trading::v1::trading_service_client::TradingServiceClient,
};
use http::HeaderValue;
use tonic::transport::Endpoint;

use crate::PeerChannel;

/// The largest message taken from a service: memory banks and long contexts fit.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// A bearer token. It is never printed.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// A token of printable ASCII; `None` for anything else.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
        value.set_sensitive(true);
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())).then_some(Self(value))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The address is no `http://host:port`.
#[derive(Debug, thiserror::Error)]
#[error("{service}: `{url}` is no address of the form http://host:port")]
pub struct InvalidEndpoint {
    /// Whose address.
    pub service: Service,
    /// The address as given.
    pub url: String,
}

/// The address of each service, checked.
#[derive(Debug, Clone, Default)]
pub struct Endpoints(BTreeMap<Service, Endpoint>);

impl Endpoints {
    /// Takes addresses such as `http://127.0.0.1:7601`.
    ///
    /// # Errors
    /// The first address that is none.
    pub fn new<U: Into<String>>(
        urls: impl IntoIterator<Item = (Service, U)>,
    ) -> Result<Self, InvalidEndpoint> {
        urls.into_iter()
            .map(|(service, url)| {
                let url: String = url.into();
                let has_host = url.starts_with("http://") && url.len() > "http://".len();
                match Endpoint::from_shared(url.clone()) {
                    Ok(endpoint) if has_host => Ok((service, endpoint)),
                    _ => Err(InvalidEndpoint { service, url }),
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// One service only, for tests and tools.
    ///
    /// # Errors
    /// When the address is none.
    pub fn single(service: Service, url: impl Into<String>) -> Result<Self, InvalidEndpoint> {
        Self::new([(service, url)])
    }
}

/// Gives clients. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Connector {
    channels: Arc<BTreeMap<Service, PeerChannel>>,
}

macro_rules! client {
    ($(#[$doc:meta])* $name:ident, $service:ident, $client:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> $client<PeerChannel> {
            $client::new(self.channel(Service::$service))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
        }
    };
}

impl Connector {
    /// Connects to nothing yet. Must be called within a Tokio runtime. A service without an
    /// address is sought at port 1 of this machine, where nothing answers: calls fail UNAVAILABLE.
    #[must_use]
    pub fn new(endpoints: &Endpoints, token: Option<&Token>) -> Self {
        let nowhere = Endpoint::from_static("http://127.0.0.1:1");
        let channels = Service::ALL
            .into_iter()
            .map(|service| {
                let endpoint = endpoints.0.get(&service).unwrap_or(&nowhere);
                (service, PeerChannel::new(service, endpoint, token))
            })
            .collect();
        Self { channels: Arc::new(channels) }
    }

    /// The channel to a service, for clients of health and reflection.
    #[must_use]
    pub fn channel(&self, service: Service) -> PeerChannel {
        // `new` made one for each of `Service::ALL`.
        self.channels[&service].clone()
    }

    client! {
        /// The inference-gateway.
        inference, InferenceGateway, InferenceServiceClient
    }
    client! {
        /// The memory.
        memory, Memory, MemoryServiceClient
    }
    client! {
        /// The orchestrator.
        orchestrator, Orchestrator, OrchestratorServiceClient
    }
    client! {
        /// The trading service.
        trading, Trading, TradingServiceClient
    }
    client! {
        /// The monitor.
        monitor, Monitor, MonitorServiceClient
    }
    client! {
        /// The optimizer.
        optimizer, Optimizer, OptimizerServiceClient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_tokens_are_checked() {
        assert!(Endpoints::single(Service::Memory, "http://127.0.0.1:7603").is_ok());
        for bad in ["", "127.0.0.1:7603", "ftp://x", "http://", "http://a b"] {
            let error = Endpoints::single(Service::Memory, bad).unwrap_err();
            assert!(error.to_string().starts_with("memory: "), "{error}");
        }
        assert!(Token::new("a b").is_none() && Token::new("").is_none());
        assert_eq!(format!("{:?}", Token::new("secret").unwrap()), "Token(…)");
    }

    #[tokio::test]
    async fn a_service_without_an_address_is_unavailable() {
        let connector = Connector::new(&Endpoints::default(), None);
        let request = alina_proto::monitor::v1::GetStatusRequest {};
        let error = connector.monitor().get_status(request).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::Unavailable);
        assert!(error.message().starts_with("monitor cannot be reached"), "{error}");
    }
}
