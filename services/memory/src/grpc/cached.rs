//! Reads that are answered from the cache when it has the answer.

use chrono::{DateTime, Utc};
use prost::Message;
use prost_types::Timestamp;
use tonic::{Response, Status};

use super::{Grpc, failure::failure};
use crate::{
    cache::Key,
    knowledge::{Namespace, belief::View},
};

/// Of when a read is.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// Of a time that the request tells.
    Told,
    /// Of now, which is this.
    Now(DateTime<Utc>),
    /// Of what was believed once, for all one knew then of now. Beliefs of then begin and cease by
    /// the clock as those of now do, but nothing tells when: this is not kept.
    NowByOldBeliefs,
}

impl When {
    pub(super) fn of(as_of: Option<&Timestamp>, view: &View) -> Self {
        match (as_of, view.known_at) {
            (Some(_), _) => Self::Told,
            (None, None) => Self::Now(view.as_of),
            (None, Some(_)) => Self::NowByOldBeliefs,
        }
    }
}

impl Grpc {
    /// A read, from the cache if it is there. `read` tells whether its answer may be kept.
    pub(super) async fn cached<Q: Message, A: Message + Default>(
        &self,
        operation: &str,
        namespace: &Namespace,
        when: When,
        request: &Q,
        read: impl Future<Output = Result<(A, bool), Status>>,
    ) -> Result<Response<A>, Status> {
        // Before the read: what is read is of this version or a newer one.
        let (version, changed) = match when {
            When::NowByOldBeliefs => return Ok(Response::new(read.await?.0)),
            When::Told => (self.store.version(namespace).await.map_err(failure)?, String::new()),
            // By the clock that the answer is of: by a later one the answer could be older than the
            // version it is kept under.
            When::Now(now) => {
                let (version, changed) =
                    self.store.moment(namespace, now).await.map_err(failure)?;
                let changed = changed.map_or(0, |changed| changed.timestamp_micros());
                // "Yesterday" is another day tomorrow.
                (version, format!("-{changed}-{}", now.date_naive()))
            }
        };
        // Nothing was ever written.
        let Some(version) = version else { return Ok(Response::new(read.await?.0)) };
        let named = format!("{version}{changed}");
        let key = Key::new(operation, namespace, &named, &request.encode_to_vec());
        if let Some(kept) = self.cache.get(&key).await
            && let Ok(answer) = A::decode(kept.as_slice())
        {
            return Ok(Response::new(answer));
        }
        let (answer, lasts) = read.await?;
        if lasts {
            // Only if nothing was written meanwhile it is of this version, and of one state.
            let (store, namespace) = (self.store.clone(), namespace.clone());
            let unchanged = async move {
                store.version(&namespace).await.is_ok_and(|since| since == Some(version))
            };
            self.cache.keep(key, answer.encode_to_vec(), unchanged);
        }
        Ok(Response::new(answer))
    }
}
