//! Logs for people or machines, and traces that cross services.

use std::io::IsTerminal;

use alina_proto::Service;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    StartError,
    config::{LogFormat, Telemetry},
};

/// Flushes traces when the service ends.
#[derive(Debug)]
pub(crate) struct Guard(SdkTracerProvider);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(std::time::Duration::from_secs(2)) {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// Sets up logs to standard error and, when configured, traces by OTLP. Trace ids are made and
/// handed on between services whether or not traces are sent anywhere.
pub(crate) fn start(service: Service, settings: &Telemetry) -> Result<Guard, StartError> {
    let wrong = |key: &str, cause: &dyn std::fmt::Display| {
        StartError::Other(format!("telemetry.{key}: {cause}"))
    };
    let filter = EnvFilter::try_new(&settings.log).map_err(|error| wrong("log", &error))?;

    let mut provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service.program()).build());
    if let Some(endpoint) = &settings.otlp_endpoint {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| wrong("otlp_endpoint", &error))?;
        provider = provider.with_batch_exporter(exporter);
    }
    let provider = provider.build();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());

    let terminal = std::io::stderr().is_terminal();
    let json = match settings.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        lines.with_ansi(terminal).boxed()
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer(service.program())))
        .try_init()
        .map_err(|error| wrong("log", &error))?;
    Ok(Guard(provider))
}
