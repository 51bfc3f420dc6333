//! The wire: requests become domain calls, what these give becomes answers, errors become
//! statuses, here and only here.

mod convert;
mod limits;
mod request;

use std::sync::Arc;

use futures::StreamExt;
use tonic::{Code, Request, Response, Status, codegen::BoxStream};

use alina_proto::inference::v1::{
    ChatRequest, ChatResponse, ChatStreamRequest, ChatStreamResponse, EmbedRequest, EmbedResponse,
    Embedding, GetLoadRequest, GetLoadResponse, ListModelsRequest, ListModelsResponse,
    ListUsageRequest, ListUsageResponse, SetLimitsRequest, SetLimitsResponse, SetModelStateRequest,
    SetModelStateResponse, inference_service_server::InferenceService,
};
use alina_service::status;
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    gateway::{Gateway, Part},
};

/// The service.
#[derive(Debug, Clone)]
pub struct Grpc {
    gateway: Arc<Gateway>,
    shutdown: CancellationToken,
}

impl Grpc {
    /// Answers out of `gateway`; streams end when `shutdown` is cancelled.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, shutdown: CancellationToken) -> Self {
        Self { gateway, shutdown }
    }
}

#[tonic::async_trait]
impl InferenceService for Grpc {
    async fn chat(&self, request: Request<ChatRequest>) -> Result<Response<ChatResponse>, Status> {
        let request = request::chat("", request.into_inner())?;
        let mut parts = self.gateway.chat(request).await.map_err(to_status)?;
        while let Some(part) = parts.next().await {
            if let Part::Done(answered) = part.map_err(to_status)? {
                return Ok(Response::new(convert::answer(answered)));
            }
        }
        Err(Status::internal("an answer without an end"))
    }

    async fn chat_stream(
        &self,
        request: Request<ChatStreamRequest>,
    ) -> Result<Response<BoxStream<ChatStreamResponse>>, Status> {
        let request = request::chat_stream(request.into_inner())?;
        let parts = self.gateway.chat(request).await.map_err(to_status)?;
        let events = parts.map(|part| part.map(convert::part).map_err(to_status));
        let shutdown = self.shutdown.clone();
        let stopped = async move {
            shutdown.cancelled_owned().await;
            Err(Status::unavailable("the service is stopping"))
        };
        // Whichever comes first: the end of the answer or that of the service.
        let ended = events.map(Some).chain(futures::stream::iter([None]));
        let stopped = futures::stream::once(stopped).map(Some);
        let all = futures::stream::select(ended, stopped);
        let mut over = false;
        let all = all.take_while(move |event| {
            let go_on = event.is_some() && !over;
            over = matches!(event, Some(Err(_)));
            futures::future::ready(go_on)
        });
        Ok(Response::new(all.filter_map(futures::future::ready).boxed()))
    }

    async fn embed(
        &self,
        request: Request<EmbedRequest>,
    ) -> Result<Response<EmbedResponse>, Status> {
        let request = request.into_inner();
        request::check_embed(&request)?;
        let embedded = self.gateway.embed(&request.model, request.texts).await;
        let (embedded, model) = embedded.map_err(to_status)?;
        let dimensions = embedded.vectors.first().map_or(0, Vec::len);
        Ok(Response::new(EmbedResponse {
            embeddings: embedded.vectors.into_iter().map(|values| Embedding { values }).collect(),
            model: model.0,
            dimensions: u32::try_from(dimensions).unwrap_or(u32::MAX),
            prompt_tokens: embedded.tokens,
        }))
    }

    async fn list_models(
        &self,
        _: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let models = self.gateway.models().await.into_iter().map(convert::model).collect();
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn get_load(
        &self,
        _: Request<GetLoadRequest>,
    ) -> Result<Response<GetLoadResponse>, Status> {
        Ok(Response::new(convert::load(self.gateway.load())))
    }

    async fn set_limits(
        &self,
        request: Request<SetLimitsRequest>,
    ) -> Result<Response<SetLimitsResponse>, Status> {
        let change = limits::change(request.into_inner())?;
        let limits = self.gateway.set_limits(change).map_err(limits::impossible)?;
        Ok(Response::new(limits::limits(limits)))
    }

    async fn list_usage(
        &self,
        request: Request<ListUsageRequest>,
    ) -> Result<Response<ListUsageResponse>, Status> {
        let wanted = limits::wanted(request.into_inner())?;
        let hours = self.gateway.usage(wanted).await.map_err(to_status)?;
        Ok(Response::new(limits::usage(hours)))
    }

    async fn set_model_state(
        &self,
        request: Request<SetModelStateRequest>,
    ) -> Result<Response<SetModelStateResponse>, Status> {
        let (model, change) = request::model_state(request.into_inner())?;
        let listed = self.gateway.change_model(&model, change).await.map_err(to_status)?;
        Ok(Response::new(SetModelStateResponse { model: Some(convert::model(listed)) }))
    }
}

fn to_status(error: Error) -> Status {
    let (reason, message) = (error.reason(), error.to_string());
    let retry_after = error.retry_after();
    match error {
        Error::ModelNotFound { name, .. } => {
            status::resource(Code::NotFound, reason, "model", name, message)
        }
        Error::WrongKind { problem, .. } => {
            let mut bad = status::Violations::default();
            bad.add("model", problem);
            bad.finish().err().unwrap_or_else(|| Status::invalid_argument(message))
        }
        Error::ModelUnavailable { .. }
        | Error::BackendFailed { .. }
        | Error::StoreUnavailable { .. } => status::error(Code::Unavailable, reason, message),
        Error::PromptTooLong { .. }
        | Error::InvalidConstraint { .. }
        | Error::BackendRefused { .. }
        | Error::Unsupported { .. } => status::error(Code::InvalidArgument, reason, message),
        Error::OutOfMemory { .. } => match retry_after {
            Some(after) => status::retry(Code::ResourceExhausted, reason, message, after),
            None => status::error(Code::ResourceExhausted, reason, message),
        },
        Error::QueueFull { retry_after, .. }
        | Error::DeadlineTooShort { retry_after, .. }
        | Error::BackendBusy { retry_after, .. }
        | Error::BudgetSpent { retry_after: Some(retry_after), .. } => {
            status::retry(Code::ResourceExhausted, reason, message, retry_after)
        }
        Error::BudgetSpent { retry_after: None, .. } => {
            status::error(Code::ResourceExhausted, reason, message)
        }
    }
}
