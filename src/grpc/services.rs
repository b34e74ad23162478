//! The generated traits, implemented for a call: `build.rs` writes one line for each unary RPC. The
//! streams, and Auth, are in `by_hand`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::by_hand;
use super::call::Call;
use super::guard::guarded;
#[cfg(feature = "generated-glue")]
use super::native::by_tonic;
use super::native::{Handling, MAX_REQUEST_BYTES, RequestBody};
#[cfg(not(feature = "generated-glue"))]
use crate::fast_path::glue;
use crate::model::{Method, request};
use crate::pb::servers::{
    auth_service_server, calculator_service_server, chat_service_server, clock_service_server,
    codec_service_server, key_value_service_server, server_service_server,
};

include!(concat!(env!("OUT_DIR"), "/services.rs"));
