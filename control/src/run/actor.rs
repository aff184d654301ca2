//! The compiler's mailbox: takes each config set, compiles it on another thread, hands the result
//! to the publisher. The store gives the next only when this one is done, so there is never more
//! than one compile, and changes that arrive meanwhile are compiled together.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use tokio::runtime::Handle;

use crate::compile::{Compiled, compile};
use crate::object::{ConfigSet, GatewayPod};
use crate::publish::publisher::{CompileResult, Publisher};
use crate::store::actor::ConfigChanged;
use crate::store::objects::United;

/// See the module.
#[derive(Debug)]
pub struct CompileActor {
    pod: Arc<GatewayPod>,
    publisher: Publisher,
    threads: Handle,
}

impl CompileActor {
    /// Compiles for `pod` on the blocking threads of `threads`.
    pub fn new(pod: Arc<GatewayPod>, publisher: Publisher, threads: Handle) -> Self {
        Self { pod, publisher, threads }
    }
}

impl Actor for CompileActor {
    type Context = Context<Self>;
}

impl Handler<ConfigChanged> for CompileActor {
    type Result = ResponseFuture<()>;

    fn handle(
        &mut self,
        ConfigChanged(united): ConfigChanged,
        _: &mut Self::Context,
    ) -> Self::Result {
        let (pod, publisher) = (Arc::clone(&self.pod), self.publisher.clone());
        let compiling = self.threads.spawn_blocking(move || compile_timed(&pod, united));
        Box::pin(async move {
            // Fails only while the process goes down, when nobody is left to publish to.
            if let Ok(result) = compiling.await {
                let _ = publisher.publish(result).await;
            }
        })
    }
}

fn compile_timed(pod: &GatewayPod, united: United) -> CompileResult {
    let started = Instant::now();
    let config = ConfigSet { pod: pod.clone(), objects: united.objects };
    let Compiled { snapshot, diagnostics: found } = compile(&config);
    let mut diagnostics = united.diagnostics;
    diagnostics.extend(found);
    let compile_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    CompileResult { snapshot, diagnostics, config: Arc::new(config), compile_ms }
}
