//! The limits. From one table follow the constants, the [`Limits`] of a server with their defaults,
//! the keys of `[limits]` in the configuration file, the message of GetServerInfo, the rows of
//! `info`, and `docs/limits.md`.

mod table;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(crate) use table::limits_table;
use table::{DAY, HOUR, MILLISECOND, MINUTE, PIB, SECOND, YEAR};

/// The unit of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the unit of its name")]
pub enum Unit {
    Count,
    Bytes,
    PerSecond,
    Duration,
}

/// The value of a limit; its unit is in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Amount {
    /// A count, a number of bytes, or a rate a second.
    Number(u64),
    /// A length of time.
    Duration(Duration),
}

impl fmt::Display for Amount {
    /// Writes a number in digits, and a duration in the largest unit that shows it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = match self {
            Self::Number(number) => return write!(f, "{number}"),
            Self::Duration(duration) => duration,
        };
        let millis = duration.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match units.into_iter().find(|(size, _)| millis > 0 && millis.is_multiple_of(*size)) {
            Some((size, unit)) => write!(f, "{}{unit}", millis / size),
            None => write!(f, "{millis}ms"),
        }
    }
}

/// A type that a limit can have.
pub(crate) trait Measure: Copy {
    /// Returns the value for a row.
    fn amount(self) -> Amount;
    /// Returns the value of a row, or `None` if this type cannot hold it.
    fn from_amount(amount: Amount) -> Option<Self>;
}

macro_rules! measure_integers {
    ($($integer:ty)*) => {$(
        impl Measure for $integer {
            fn amount(self) -> Amount {
                Amount::Number(self as u64)
            }

            fn from_amount(amount: Amount) -> Option<Self> {
                match amount {
                    Amount::Number(number) => number.try_into().ok(),
                    Amount::Duration(_) => None,
                }
            }
        }
    )*};
}
measure_integers!(u32 u64 usize);

impl Measure for Duration {
    fn amount(self) -> Amount {
        Amount::Duration(self)
    }

    fn from_amount(amount: Amount) -> Option<Self> {
        match amount {
            Amount::Number(_) => None,
            Amount::Duration(duration) => Some(duration),
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Limit {
    /// The name of the constant, or of the field of [`Limits`].
    pub name: &'static str,
    /// The meaning, in a sentence.
    pub text: &'static str,
    /// The unit.
    pub unit: Unit,
    /// The value in force if the configuration has none.
    pub default: Amount,
    /// The default in words, where it depends on the machine.
    pub by_default: Option<&'static str>,
    /// The key in the configuration file, and the values that it may have; `None` if the limit is
    /// fixed.
    pub setting: Option<Setting>,
    /// The field of `kvrpc.v1.Limits` that reports the limit.
    pub field: Option<&'static str>,
}

/// The configurable part of a limit.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The key, as in `limits.sessions`.
    pub key: &'static str,
    /// The values allowed.
    pub range: RangeInclusive<Amount>,
}

/// The value of an optional part of a row: `None` if the row lacks it.
macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! declare {
    (
        fixed {$(
            $(#[doc = $fixed_text:literal])+
            $constant:ident: $fixed_unit:ident<$fixed_type:ty> = $value:expr
            $(, field $fixed_field:ident)?;
        )+}
        settings {$(
            $(#[doc = $text:literal])+
            $name:ident: $unit:ident<$type:ty> = $default:expr, $range:expr, key $key:literal
            $(, field $field:ident)? $(, by_default $by_default:literal)?;
        )+}
    ) => {
        $(
            $(#[doc = $fixed_text])+
            pub const $constant: $fixed_type = $value;
        )+

        /// The limits of a server that its configuration can set.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $(
                $(#[doc = $text])+
                pub $name: $type,
            )+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            /// Returns the table: the fixed limits, then the settings.
            pub fn table() -> Vec<Limit> {
                vec![
                    $(Limit {
                        name: stringify!($constant),
                        text: concat!($($fixed_text),+).trim_ascii(),
                        unit: Unit::$fixed_unit,
                        default: $constant.amount(),
                        by_default: None,
                        setting: None,
                        field: optional!($(stringify!($fixed_field))?),
                    },)+
                    $(Self::$name(),)+
                ]
            }

            /// Returns the limits in force that GetServerInfo reports, by the name of their
            /// fields.
            pub fn reported(&self) -> Vec<(&'static str, Amount)> {
                let fixed = [$($((stringify!($fixed_field), $constant.amount()),)?)+];
                let settings = [$($((stringify!($field), self.$name.amount()),)?)+];
                fixed.into_iter().chain(settings).collect()
            }

            /// Returns the limits with each replaced by what `read` makes of its row and its
            /// current value. A value that the limit's type cannot hold is ignored.
            pub fn map(&self, mut read: impl FnMut(&Limit, Amount) -> Amount) -> Self {
                Self {$(
                    $name: Measure::from_amount(read(&Self::$name(), self.$name.amount()))
                        .unwrap_or(self.$name),
                )+}
            }

            $(
                fn $name() -> Limit {
                    let range: RangeInclusive<$type> = $range;
                    Limit {
                        name: stringify!($name),
                        text: concat!($($text),+).trim_ascii(),
                        unit: Unit::$unit,
                        default: <$type as Measure>::amount($default),
                        by_default: optional!($($by_default)?),
                        setting: Some(Setting {
                            key: concat!("limits.", $key),
                            range: range.start().amount()..=range.end().amount(),
                        }),
                        field: optional!($(stringify!($field))?),
                    }
                }
            )+
        }
    };
}
limits_table!(declare);
