//! The limits: `[limits]`, in the file alone. Keys, ranges and defaults are those of the table in
//! `model::limits`.

use std::sync::Arc;
use std::time::Duration;

use super::parse::{Count, Kind, Length, Size, four_fifths_of_memory};
use super::sources::Sources;
use crate::listen::http::{Browsers, HttpLimits};
use crate::model::{Amount, Limit, Limits, Unit};

/// Returns the defaults of this machine: all stores together may have 80 % of its memory.
pub(super) fn defaults() -> Limits {
    Limits { store_bytes: four_fifths_of_memory(), ..Limits::default() }
}

/// Reads every limit that can be set.
pub(super) fn read(s: &mut Sources) -> Limits {
    defaults().map(|limit, default| read_one(s, limit, default))
}

fn read_one(s: &mut Sources, limit: &Limit, default: Amount) -> Amount {
    let Some(setting) = &limit.setting else { return default };
    let (key, least, most) = (setting.key, *setting.range.start(), *setting.range.end());
    match (default, least, most) {
        (Amount::Number(default), Amount::Number(least), Amount::Number(most)) => {
            let size = Size(least..=most);
            let count = Count(least..=most);
            let kind: &dyn Kind<u64> = if limit.unit == Unit::Bytes { &size } else { &count };
            Amount::Number(s.one(key, kind, default))
        }
        (Amount::Duration(default), Amount::Duration(least), Amount::Duration(most)) => {
            Amount::Duration(s.one(key, &Length(least..=most), default))
        }
        // Value and range of a limit have one type.
        _ => default,
    }
}

/// Returns those that an HTTP connection is held to.
pub(super) fn of_http(limits: &Limits, browsers: Browsers, grace: Duration) -> HttpLimits {
    HttpLimits {
        first_bytes: limits.first_bytes,
        handshake: limits.handshake,
        keepalive_interval: limits.keepalive_interval,
        keepalive_timeout: limits.keepalive_timeout,
        streams: limits.streams,
        header_bytes: limits.header_bytes,
        browsers: Arc::new(browsers),
        age: limits.connection_age,
        closing_notice: limits.closing_notice,
        grace,
    }
}
