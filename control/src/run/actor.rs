//! The compiler's mailbox: takes each config set, compiles it on another thread, hands the result
//! to the publisher. The store gives the next only when this one is done, so there is never more
//! than one compile, and changes that arrive meanwhile are compiled together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actix::prelude::*;
use fairway_shared::id::SecretName;
use fairway_shared::snapshot::tls::Secret;
use tokio::runtime::Handle;

use crate::args::OnSecretDeleted;
use crate::compile::{Compiled, compile};
use crate::object::{ConfigSet, DeletedSecrets, GatewayPod};
use crate::publish::publisher::{CompileResult, Publisher};
use crate::store::actor::ConfigChanged;
use crate::store::objects::United;
use crate::validity;

/// From a compile to the next, should the configuration stay: certificates expire meanwhile.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Debug)]
pub struct CompileActor {
    pod: Arc<GatewayPod>,
    on_secret_deleted: OnSecretDeleted,
    publisher: Publisher,
    threads: Handle,
    /// What Secrets held in the snapshot compiled last.
    secrets: BTreeMap<SecretName, Arc<Secret>>,
    /// What was compiled last; `None` while something is.
    last: Option<United>,
    timer: Option<SpawnHandle>,
}

impl CompileActor {
    /// Compiles for `pod` on the blocking threads of `threads`.
    pub fn new(
        pod: Arc<GatewayPod>,
        on_secret_deleted: OnSecretDeleted,
        publisher: Publisher,
        threads: Handle,
    ) -> Self {
        let (secrets, last, timer) = Default::default();
        Self { pod, on_secret_deleted, publisher, threads, secrets, last, timer }
    }

    fn config_set(&self, united: &United) -> ConfigSet {
        let deleted = match self.on_secret_deleted {
            OnSecretDeleted::Serve => DeletedSecrets::Serve(self.secrets.clone()),
            OnSecretDeleted::Fail => DeletedSecrets::Fail,
        };
        ConfigSet { pod: (*self.pod).clone(), objects: united.objects.clone(), deleted }
    }

    fn look_again(&mut self, context: &mut Context<Self>) {
        if let Some(united) = self.last.take() {
            // Takes no new configuration meanwhile: one compile at a time.
            let compiling = self.compile(united);
            context.wait(compiling);
        }
    }

    /// Compiles and publishes. There is nothing in `last` meanwhile.
    fn compile(&mut self, united: United) -> ResponseActFuture<Self, ()> {
        self.last = None;
        let (config, found) = (self.config_set(&united), united.diagnostics.clone());
        let compiling = self.threads.spawn_blocking(move || {
            let mut result = compile_timed(config);
            result.diagnostics.extend(found);
            result
        });
        let publisher = self.publisher.clone();
        let publishing = async move {
            // Fails only while the process goes down, when nobody is left to publish to.
            let result = compiling.await.ok()?;
            let secrets = result.snapshot.secrets.clone();
            let _ = publisher.publish(result).await;
            Some(secrets)
        };
        Box::pin(publishing.into_actor(self).map(|secrets, actor, context| {
            actor.secrets = secrets.unwrap_or_default();
            actor.last = Some(united);
            let timer = context.run_later(LOOK_AGAIN_AFTER, Self::look_again);
            if let Some(before) = actor.timer.replace(timer) {
                context.cancel_future(before);
            }
        }))
    }
}

impl Actor for CompileActor {
    type Context = Context<Self>;
}

impl Handler<ConfigChanged> for CompileActor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(
        &mut self,
        ConfigChanged(united): ConfigChanged,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.compile(united)
    }
}

fn compile_timed(config: ConfigSet) -> CompileResult {
    let started = Instant::now();
    let Compiled { snapshot, mut diagnostics } = compile(&config);
    diagnostics.extend(validity::findings(&config, &snapshot.secrets, SystemTime::now()));
    let compile_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    CompileResult { snapshot, diagnostics, config: Arc::new(config), compile_ms }
}
