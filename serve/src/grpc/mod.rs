//! The protocol over gRPC, with the services for health and reflection.

mod answer;
mod contents;
/// What `tests/generated.rs` makes of `inference.proto`.
#[allow(missing_docs, unused_qualifications, clippy::all, reason = "it is generated")]
#[rustfmt::skip]
mod inference;

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http;
use axum::middleware::{self, Next};
use mindir::Port;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status, Streaming};

use self::inference::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use self::inference::model_infer_request::InferRequestedOutputTensor;
use self::inference::*;
use crate::infer::InferRequest;
use crate::metrics::Sum;
use crate::model::Served;
use crate::parameters::Parameters;
use crate::rest::{EXTENSIONS, version};
use crate::room::Held;
use crate::server::Shared;
use crate::{RequestError, datatype};

/// The description of the protocol, for reflection.
const DESCRIPTION: &[u8] = include_bytes!("inference.bin");

/// The services.
pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let most = usize::try_from(shared.options.max_body).unwrap_or(usize::MAX);
    let service = GrpcInferenceServiceServer::new(Service(shared.clone()));
    let service = service.max_decoding_message_size(most).max_encoding_message_size(usize::MAX);
    let service = service.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
    let router = Router::new().route_service("/inference.GRPCInferenceService/{method}", service);
    let router = router.layer(middleware::from_fn_with_state(shared.clone(), metered));
    let reflection = tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTION);
    match reflection.build_v1() {
        Ok(reflection) => router.route_service("/grpc.reflection.v1.ServerReflection/{method}", reflection),
        // The description is part of the program, and a test reads it.
        Err(_) => router,
    }
}

/// Takes the memory of a request's body, as it arrives, from that which all bodies may take; of one that is packed the most that it may
/// unpack to. Of a stream one request after the other is in memory, until it is answered. Answers are packed for those who pack
/// their requests.
async fn metered(
    State(shared): State<Arc<Shared>>,
    mut request: http::Request<Body>,
    next: Next,
) -> axum::response::Response {
    let packing = request.headers().get("grpc-encoding");
    let is_packed = packing.is_some_and(|packing| packing != "identity");
    if !is_packed {
        request.headers_mut().remove("grpc-accept-encoding");
    }
    let held = Held::default();
    let (most, time) = (shared.options.max_body, shared.options.body_time);
    if request.uri().path().ends_with("/ModelStreamInfer") {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(held.clone());
        let more = if is_packed { most } else { 0 };
        let body = Body::from_stream(shared.room.requests(body, &held, (more, time)));
        return next.run(http::Request::from_parts(parts, body)).await;
    }
    let (parts, body) = request.into_parts();
    if is_packed && let Err(e) = shared.room.take(&held, most, Instant::now() + time).await {
        return Status::from(e).into_http();
    }
    let within = (most.saturating_add(FRAME), time);
    let body = Body::from_stream(shared.room.pieces(body, &held, within));
    let response = next.run(http::Request::from_parts(parts, body)).await;
    drop(held);
    response
}

/// What frames a message.
const FRAME: u64 = 5;

/// The service for health, which needs no token.
pub(crate) fn health(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let health = tonic_health::pb::health_server::HealthServer::new(Health(shared.clone()));
    Router::new().route_service("/grpc.health.v1.Health/{method}", health)
}

impl From<RequestError> for Status {
    fn from(e: RequestError) -> Status {
        let code = match &e {
            RequestError::Busy { .. } | RequestError::TooLarge { .. } => Code::ResourceExhausted,
            RequestError::Late { .. } | RequestError::Slow(_) => Code::DeadlineExceeded,
            RequestError::Forbidden(_) => Code::PermissionDenied,
            other => match other.status() {
                400 => Code::InvalidArgument,
                401 => Code::Unauthenticated,
                404 => Code::NotFound,
                501 => Code::Unimplemented,
                503 => Code::Unavailable,
                _ => Code::Internal,
            },
        };
        Status::new(code, e.message())
    }
}

type Answer<T> = Result<Response<T>, Status>;

struct Service(Arc<Shared>);

impl Service {
    fn served(&self, name: &str, of: &str) -> Result<Arc<Served>, RequestError> {
        self.0.repository.get(name, version(Some(of))?)
    }

    async fn change(
        &self,
        change: impl FnOnce(&Shared) -> Result<(), RequestError> + Send + 'static,
    ) -> Result<(), RequestError> {
        crate::rest::change(self.0.clone(), change).await
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        Ok(Response::new(ServerReadyResponse { ready: self.0.is_ready() }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let ready = match self.served(&name, &version) {
            Ok(_) => true,
            Err(e) if e.status() == 503 => false,
            Err(e) => return Err(e.into()),
        };
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(ServerMetadataResponse {
            name: "mindir".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            extensions: EXTENSIONS.map(String::from).to_vec(),
        }))
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Answer<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        let served = self.served(&name, &version)?;
        let tensor = |port: &Port| model_metadata_response::TensorMetadata {
            name: port.name.clone(),
            datatype: port.spec.dtype.and_then(datatype::name).unwrap_or_default().into(),
            shape: datatype::dims(port),
        };
        Ok(Response::new(ModelMetadataResponse {
            name: served.name.clone(),
            versions: self.0.repository.versions(&served.name).iter().map(u64::to_string).collect(),
            platform: "mindspore_mindir".into(),
            inputs: served.inputs.iter().map(tensor).collect(),
            outputs: served.outputs.iter().map(tensor).collect(),
        }))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        Ok(Response::new(infer(&self.0, request.into_inner()).await?))
    }

    type ModelStreamInferStream = Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Answer<Self::ModelStreamInferStream> {
        let shared = self.0.clone();
        let held = request.extensions().get::<Held>().cloned().unwrap_or_default();
        // One after the other, so that answers come in the order of requests.
        let answers = request.into_inner().then(move |request| {
            let (shared, held) = (shared.clone(), held.clone());
            async move {
                let answered = match request {
                    Ok(request) => infer(&shared, request).await,
                    Err(e) => return Err(e),
                };
                held.clear();
                Ok(match answered {
                    Ok(answer) => {
                        ModelStreamInferResponse { infer_response: Some(answer), ..ModelStreamInferResponse::default() }
                    }
                    Err(e) => ModelStreamInferResponse { error_message: e.message(), infer_response: None },
                })
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn model_config(&self, request: Request<ModelConfigRequest>) -> Answer<ModelConfigResponse> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let served = self.served(&name, &version)?;
        let kind = |port: &Port| {
            let name = port.spec.dtype.and_then(datatype::name).map(|name| format!("TYPE_{name}"));
            name.and_then(|name| DataType::from_str_name(&name)).unwrap_or(DataType::TypeInvalid).into()
        };
        let input =
            |port: &Port| ModelInput { name: port.name.clone(), data_type: kind(port), dims: datatype::dims(port) };
        let output =
            |port: &Port| ModelOutput { name: port.name.clone(), data_type: kind(port), dims: datatype::dims(port) };
        let batching = || ModelDynamicBatching {
            preferred_batch_size: vec![i32::try_from(served.max_batch()).unwrap_or(i32::MAX)],
            max_queue_delay_microseconds: u64::from(served.config.batch_delay_ms) * 1000,
        };
        let config = ModelConfig {
            name: served.name.clone(),
            platform: "mindspore_mindir".into(),
            max_batch_size: 0,
            input: served.inputs.iter().map(input).collect(),
            output: served.outputs.iter().map(output).collect(),
            dynamic_batching: (served.max_batch() > 1).then(batching),
            backend: "mindir".into(),
        };
        Ok(Response::new(ModelConfigResponse { config: Some(config) }))
    }

    async fn model_statistics(&self, request: Request<ModelStatisticsRequest>) -> Answer<ModelStatisticsResponse> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let served = if name.is_empty() { self.0.repository.served() } else { vec![self.served(&name, &version)?] };
        Ok(Response::new(ModelStatisticsResponse { model_stats: served.iter().map(|s| statistics(s)).collect() }))
    }

    async fn repository_index(&self, request: Request<RepositoryIndexRequest>) -> Answer<RepositoryIndexResponse> {
        let ready = request.into_inner().ready;
        let lines = self.0.repository.index().into_iter().filter(|line| !ready || line.state == "READY");
        let line = |line: crate::repository::IndexLine| repository_index_response::ModelIndex {
            name: line.name,
            version: line.version.to_string(),
            state: line.state.into(),
            reason: line.reason,
        };
        Ok(Response::new(RepositoryIndexResponse { models: lines.map(line).collect() }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Answer<RepositoryModelLoadResponse> {
        let name = request.into_inner().model_name;
        self.change(move |shared| shared.repository.load(&name)).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Answer<RepositoryModelUnloadResponse> {
        let name = request.into_inner().model_name;
        self.change(move |shared| shared.repository.unload(&name)).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }
}

async fn infer(shared: &Shared, request: ModelInferRequest) -> Result<ModelInferResponse, RequestError> {
    let served = shared.repository.get(&request.model_name, version(Some(&request.model_version))?)?;
    let inputs = contents::tensors(&request.inputs, request.raw_input_contents)?;
    let p = contents::parameters(request.parameters);
    let classes = request.outputs.iter().map(classes).collect::<Result<Vec<_>, _>>()?;
    let wanted = InferRequest {
        inputs,
        outputs: request.outputs.into_iter().map(|output| output.name).collect(),
        timeout: p.timeout()?,
        priority: p.priority()?,
        sequence: p.sequence()?,
    };
    let results = served.infer(wanted).await?;
    answer::of(&served, request.id, &classes, &results)
}

fn classes(output: &InferRequestedOutputTensor) -> Result<Option<usize>, RequestError> {
    let p: Parameters = contents::parameters(output.parameters.clone());
    p.unshared("outputs", &output.name)?;
    p.classes()
}

fn statistics(served: &Served) -> ModelStatistics {
    let statistics = served.metrics.statistics();
    let duration = |sum: &Sum| {
        let ns = u64::try_from(sum.time.as_nanos()).unwrap_or(u64::MAX);
        Some(StatisticDuration { count: sum.count, ns })
    };
    let none = Sum::default();
    let batch = |(rows, runs): (&usize, &Sum)| InferBatchStatistics {
        batch_size: *rows as u64,
        compute_input: duration(&none),
        compute_infer: duration(runs),
        compute_output: duration(&none),
    };
    ModelStatistics {
        name: served.name.clone(),
        version: served.version.to_string(),
        last_inference: served.metrics.last(),
        inference_count: statistics.rows,
        execution_count: statistics.runs,
        inference_stats: Some(InferStatistics {
            success: duration(&statistics.success),
            fail: duration(&statistics.fail),
            queue: duration(&statistics.queue),
            compute_input: duration(&none),
            compute_infer: duration(&statistics.run),
            compute_output: duration(&none),
            cache_hit: duration(&statistics.hit),
            cache_miss: duration(&statistics.miss),
        }),
        batch_stats: statistics.batches.iter().map(batch).collect(),
    }
}

struct Health(Arc<Shared>);

#[tonic::async_trait]
impl tonic_health::pb::health_server::Health for Health {
    async fn check(
        &self,
        request: Request<tonic_health::pb::HealthCheckRequest>,
    ) -> Answer<tonic_health::pb::HealthCheckResponse> {
        use tonic_health::pb::health_check_response::ServingStatus;
        let service = request.into_inner().service;
        if !matches!(service.as_str(), "" | "inference.GRPCInferenceService") {
            return Err(Status::not_found(format!("there is no service {service:?}")));
        }
        let status = if self.0.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(Response::new(tonic_health::pb::HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<tonic_health::pb::HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<tonic_health::pb::HealthCheckRequest>) -> Answer<Self::WatchStream> {
        Err(Status::unimplemented("ask again with Check"))
    }
}
