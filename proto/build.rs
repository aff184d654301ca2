//! Generates the messages, clients and servers of `fairway/control/v1`, and the descriptors that
//! server reflection shows.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use tonic_prost_build::manual::{self, Method, Service};

const FILES: [&str; 2] = ["fairway/control/v1/snapshot.proto", "fairway/control/v1/control.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=fairway");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    let mut messages = tonic_prost_build::Config::new();
    // Ordered maps, so that the same snapshot has the same bytes.
    messages.enable_type_names().btree_map(["."]);
    // Written by hand: it must not show the key.
    messages.skip_debug([".fairway.control.v1.Secret"]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, messages)?;
    manual::Builder::new().build_client(false).compile(&[encoded_snapshot_service()]);
    Ok(())
}

/// `SnapshotService` once more, for the server alone: its updates are bytes that were encoded
/// once for all subscribers.
fn encoded_snapshot_service() -> Service {
    let stream = Method::builder()
        .name("stream_snapshots")
        .route_name("StreamSnapshots")
        .input_type("crate::wire::SnapshotAck")
        .output_type("crate::encoded::EncodedUpdate")
        .codec_path("crate::encoded::UpdateCodec")
        .client_streaming()
        .server_streaming()
        .build();
    Service::builder().package("fairway.control.v1").name("SnapshotService").method(stream).build()
}
