//! All that exists for speed alone on the way of a gRPC call.
//!
//! Nothing here decides, checks or changes anything: without it every call is answered the same,
//! only slower. The feature `generated-glue` replaces [`glue`] by tonic's generated servers, and CI
//! runs the tests of gRPC both ways.
//!
//! | part | in place of | brings |
//! |---|---|---|
//! | [`glue`] | the buffer of 8 KiB and the copy of each message in tonic's servers | see below |
//! | [`executor`] | a task for each request | an allocation, a turn of the scheduler and a wake |
//! | [`caller`] | a hash and a look-up of the token at each call | two cache misses |
//! | [`waker`], [`if_woken`] | polls of all timers of a connection at each request | cache misses |
//! | [`poll`] | a task for each call of a connection | the answer is there in hyper's `call` |
//!
//! The figures, with the commands to repeat them, are in `docs/design/decisions.md`.

pub(crate) mod caller;
pub(crate) mod executor;
#[cfg(not(feature = "generated-glue"))]
pub(crate) mod glue;
pub(crate) mod if_woken;
pub(crate) mod poll;
pub(crate) mod waker;
