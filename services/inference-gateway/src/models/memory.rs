//! The memory that models share: loaded when they are needed, unloaded when nobody needs them any
//! more or another needs the room. A model that answers is never taken away.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::watch, task::spawn_blocking, time::Instant};

use super::residency::{Resident, overdue, to_unload};
use crate::{chat::ModelName, error::Error, metrics::Metrics};

/// How often it is looked whether a model has been idle long enough.
const SWEEP: Duration = Duration::from_secs(1);

/// What is in memory.
pub trait Resides: Send + Sync + 'static {
    /// Whether it still works; else it is loaded again.
    fn is_alive(&self) -> bool;
    /// Gives all its memory back. Blocks until that is done.
    fn close(self);
}

/// Brings a model into memory.
pub trait Loader: Send + Sync + 'static {
    /// What it brings.
    type Model: Resides;
    /// Checks the files and tells what the model will take, in bytes. Blocks.
    ///
    /// # Errors
    /// When a file is missing or not in order.
    fn needs(&self) -> Result<u64, Error>;
    /// Loads the model. Blocks.
    ///
    /// # Errors
    /// When it cannot be loaded.
    fn open(&self) -> Result<Self::Model, Error>;
}

/// How long a model stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// It is never unloaded.
    pub pinned: bool,
    /// How long it stays when nobody needs it; none for ever.
    pub keep_alive: Option<Duration>,
}

/// What a model takes of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InMemory {
    /// Estimated; 0 when it is not loaded.
    pub bytes: u64,
    /// It is never unloaded.
    pub pinned: bool,
}

/// The budget, and who lives on it.
pub struct Memory {
    budget: u64,
    metrics: Metrics,
    tenants: Mutex<Vec<Weak<dyn Tenant>>>,
    /// Held while room is made: one at a time.
    admitting: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// A model of whatever kind.
trait Tenant: Send + Sync {
    /// None when it takes nothing.
    fn resident(&self) -> Option<Resident>;
    /// Unloads it, unless it is in use or pinned meanwhile.
    fn evict(self: Arc<Self>) -> BoxFuture<'static, ()>;
}

impl Memory {
    /// For `budget` bytes of models.
    #[must_use]
    pub fn new(budget: u64, metrics: Metrics) -> Arc<Self> {
        let (tenants, admitting) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { budget, metrics, tenants, admitting })
    }

    /// Unloads what nobody needs any more, for ever.
    pub async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let _one = self.admitting.lock().await;
            let (tenants, residents) = self.residents();
            for name in overdue(Instant::now(), &residents) {
                tracing::info!(model = %name, "unloading: idle");
                evict(&tenants, &residents, &name).await;
            }
        }
    }

    /// Makes room for `bytes` and books them to `held`.
    async fn admit(&self, name: &ModelName, bytes: u64, held: &AtomicU64) -> Result<(), Error> {
        let _one = self.admitting.lock().await;
        loop {
            let (tenants, residents) = self.residents();
            let unload = to_unload(bytes, self.budget, &residents)
                .map_err(|no_room| Error::OutOfMemory { name: name.clone(), no_room })?;
            if unload.is_empty() {
                held.store(bytes, Ordering::Release);
                return Ok(());
            }
            for other in unload {
                tracing::info!(model = %other, "unloading: {name} needs the room");
                evict(&tenants, &residents, &other).await;
            }
        }
    }

    fn residents(&self) -> (Vec<Arc<dyn Tenant>>, Vec<Resident>) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|tenant| tenant.strong_count() > 0);
        let there = tenants.iter().filter_map(Weak::upgrade);
        there.filter_map(|tenant| tenant.resident().map(|resident| (tenant, resident))).unzip()
    }
}

async fn evict(tenants: &[Arc<dyn Tenant>], residents: &[Resident], name: &ModelName) {
    for (tenant, resident) in tenants.iter().zip(residents) {
        if resident.name == *name {
            Arc::clone(tenant).evict().await;
        }
    }
}

/// A model's place in memory, empty or not.
pub struct Residence<L: Loader> {
    slot: Arc<Slot<L>>,
}

impl<L: Loader> Clone for Residence<L> {
    fn clone(&self) -> Self {
        Self { slot: Arc::clone(&self.slot) }
    }
}

struct Slot<L: Loader> {
    name: ModelName,
    loader: L,
    memory: Arc<Memory>,
    model: Mutex<Option<Arc<L::Model>>>,
    /// What is booked: from before loading until all is given back.
    held: AtomicU64,
    pinned: AtomicBool,
    keep_alive: Option<Duration>,
    uses: Arc<Uses>,
    /// Held while loading and while unloading as told: one at a time.
    changing: tokio::sync::Mutex<()>,
}

struct Uses {
    count: watch::Sender<usize>,
    last: Mutex<Instant>,
}

/// While there is one, its model stays.
pub struct Using(Arc<Uses>);

impl Using {
    fn new(uses: &Arc<Uses>) -> Self {
        uses.count.send_modify(|count| *count += 1);
        Self(Arc::clone(uses))
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// A model in memory, for as long as this is held.
pub struct Lease<M> {
    // Dropped first: who waits for the use to end is then the only one with the model.
    model: Arc<M>,
    using: Using,
}

impl<M> Lease<M> {
    /// Keeps the model in its place when this is gone.
    #[must_use]
    pub fn using(&self) -> Using {
        Using::new(&self.using.0)
    }
}

impl<M> Deref for Lease<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.model
    }
}

impl<L: Loader> Residence<L> {
    /// Empty.
    #[must_use]
    pub fn new(name: ModelName, loader: L, stay: Stay, memory: &Arc<Memory>) -> Self {
        let uses = Uses { count: watch::Sender::new(0), last: Mutex::new(Instant::now()) };
        let slot = Arc::new(Slot {
            name,
            loader,
            memory: Arc::clone(memory),
            model: Mutex::new(None),
            held: AtomicU64::new(0),
            pinned: AtomicBool::new(stay.pinned),
            keep_alive: stay.keep_alive,
            uses: Arc::new(uses),
            changing: tokio::sync::Mutex::default(),
        });
        let tenant: Arc<dyn Tenant> = Arc::<Slot<L>>::clone(&slot);
        let tenant = Arc::downgrade(&tenant);
        memory.tenants.lock().unwrap_or_else(PoisonError::into_inner).push(tenant);
        Self { slot }
    }

    /// Who loads it.
    #[must_use]
    pub fn loader(&self) -> &L {
        &self.slot.loader
    }

    /// Whether it is loaded and works.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.slot.model().as_ref().is_some_and(|model| model.is_alive())
    }

    /// What it takes.
    #[must_use]
    pub fn in_memory(&self) -> InMemory {
        InMemory {
            bytes: self.slot.held.load(Ordering::Acquire),
            pinned: self.slot.pinned.load(Ordering::Acquire),
        }
    }

    /// The model, loaded if it is not.
    ///
    /// # Errors
    /// When it cannot be loaded, or there is no room.
    pub async fn lease(&self) -> Result<Lease<L::Model>, Error> {
        if let Some(lease) = self.slot.lease() {
            return Ok(lease);
        }
        // In a task of its own: a caller that goes away does not undo the others' loading.
        let slot = Arc::clone(&self.slot);
        let loading = tokio::spawn(async move { slot.load().await });
        loading.await.unwrap_or_else(|panic| Err(self.slot.unavailable(panic)))
    }

    /// Takes it out of memory once what it answers is answered; who needs it meanwhile waits and
    /// has it loaded again.
    ///
    /// # Errors
    /// When it is pinned.
    pub async fn unload(&self) -> Result<(), Error> {
        if self.slot.pinned.load(Ordering::Acquire) {
            let problem = "is pinned; unpin it to unload it";
            return Err(Error::WrongKind { name: self.slot.name.clone(), problem });
        }
        let slot = Arc::clone(&self.slot);
        let unloading = tokio::spawn(async move {
            let _one = slot.changing.lock().await;
            let model = slot.model().take();
            if let Some(model) = model {
                slot.close(model).await;
            }
        });
        unloading.await.map_err(|panic| self.slot.unavailable(panic))
    }

    /// Whether it stays whatever happens.
    pub fn pin(&self, pinned: bool) {
        self.slot.pinned.store(pinned, Ordering::Release);
    }
}

impl<L: Loader> Slot<L> {
    fn model(&self) -> MutexGuard<'_, Option<Arc<L::Model>>> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unavailable(&self, problem: impl fmt::Display) -> Error {
        Error::ModelUnavailable { name: self.name.clone(), problem: problem.to_string() }
    }

    fn lease(&self) -> Option<Lease<L::Model>> {
        let model = self.model();
        let model = model.as_ref().filter(|model| model.is_alive())?;
        Some(Lease { model: Arc::clone(model), using: Using::new(&self.uses) })
    }

    async fn load(self: Arc<Self>) -> Result<Lease<L::Model>, Error> {
        let _one = self.changing.lock().await;
        if let Some(lease) = self.lease() {
            return Ok(lease);
        }
        let dead = self.model().take();
        if let Some(dead) = dead {
            self.close(dead).await;
        }
        let slot = Arc::clone(&self);
        let needs = spawn_blocking(move || slot.loader.needs()).await;
        let needs = needs.unwrap_or_else(|panic| Err(self.unavailable(panic)))?;
        self.memory.admit(&self.name, needs, &self.held).await?;
        let slot = Arc::clone(&self);
        let opened = spawn_blocking(move || slot.loader.open()).await;
        match opened.unwrap_or_else(|panic| Err(self.unavailable(panic))) {
            Ok(opened) => {
                self.memory.metrics.resident(&self.name, needs);
                let mut model = self.model();
                let model = model.insert(Arc::new(opened));
                Ok(Lease { model: Arc::clone(model), using: Using::new(&self.uses) })
            }
            Err(error) => {
                self.held.store(0, Ordering::Release);
                Err(error)
            }
        }
    }

    /// Waits until nobody uses what was taken out of its place, and gives its memory back.
    async fn close(&self, mut model: Arc<L::Model>) {
        let mut uses = self.uses.count.subscribe();
        // The sender is this one's own: it is not gone.
        let _ = uses.wait_for(|count| *count == 0).await;
        let model = loop {
            match Arc::try_unwrap(model) {
                Ok(model) => break model,
                // Its last user has said so, and is about to let go of it.
                Err(shared) => model = shared,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        if let Err(panic) = spawn_blocking(move || model.close()).await {
            tracing::error!(model = %self.name, %panic, "it could not be unloaded in order");
        }
        self.held.store(0, Ordering::Release);
        self.memory.metrics.resident(&self.name, 0);
        tracing::info!(model = %self.name, "unloaded");
    }
}

impl<L: Loader> Tenant for Slot<L> {
    fn resident(&self) -> Option<Resident> {
        let model = self.model();
        let bytes = self.held.load(Ordering::Acquire);
        (bytes > 0).then(|| Resident {
            name: self.name.clone(),
            bytes,
            pinned: self.pinned.load(Ordering::Acquire),
            in_use: model.is_none() || *self.uses.count.borrow() > 0,
            last_used: *self.uses.last.lock().unwrap_or_else(PoisonError::into_inner),
            keep_alive: self.keep_alive,
        })
    }

    fn evict(self: Arc<Self>) -> BoxFuture<'static, ()> {
        let work = async move {
            let model = {
                let mut model = self.model();
                let busy = *self.uses.count.borrow() > 0 || self.pinned.load(Ordering::Acquire);
                if busy { None } else { model.take() }
            };
            if let Some(model) = model {
                self.close(model).await;
            }
        };
        // In a task of its own: what is begun is ended.
        async { drop(tokio::spawn(work).await) }.boxed()
    }
}
