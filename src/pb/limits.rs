//! The limits in force as the message of GetServerInfo, and as rows of it.

use std::time::Duration;

use super::{time, v1};
use crate::model::{self, Amount, Limits, Measure, limits_table};

macro_rules! convert {
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
        impl From<&Limits> for v1::Limits {
            fn from(limits: &Limits) -> Self {
                // Without `..`: a field of the message that no row names does not compile.
                Self {
                    $($($fixed_field: Field::from_amount(model::$constant.amount()),)?)+
                    $($($field: Field::from_amount(limits.$name.amount()),)?)+
                }
            }
        }

        /// Returns the limits of a reply by the names of their fields; `None` stands for a
        /// duration that is missing or out of range.
        pub fn reported_limits(limits: &v1::Limits) -> Vec<(&'static str, Option<Amount>)> {
            vec![
                $($((stringify!($fixed_field), limits.$fixed_field.to_amount()),)?)+
                $($((stringify!($field), limits.$field.to_amount()),)?)+
            ]
        }
    };
}
limits_table!(convert);

/// A type of the message's fields.
trait Field {
    /// Returns the field for a limit: the largest value if the type cannot hold it.
    fn from_amount(amount: Amount) -> Self;
    /// Returns the limit, or `None` if the field is unset or invalid.
    fn to_amount(&self) -> Option<Amount>;
}

impl Field for u32 {
    fn from_amount(amount: Amount) -> Self {
        Measure::from_amount(amount).unwrap_or(Self::MAX)
    }

    fn to_amount(&self) -> Option<Amount> {
        Some(self.amount())
    }
}

impl Field for u64 {
    fn from_amount(amount: Amount) -> Self {
        Measure::from_amount(amount).unwrap_or(Self::MAX)
    }

    fn to_amount(&self) -> Option<Amount> {
        Some(self.amount())
    }
}

impl Field for Option<prost_types::Duration> {
    fn from_amount(amount: Amount) -> Self {
        Measure::from_amount(amount).map(time::duration)
    }

    fn to_amount(&self) -> Option<Amount> {
        Duration::try_from((*self)?).ok().map(Amount::Duration)
    }
}
