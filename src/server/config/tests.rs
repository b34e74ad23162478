//! Precedence, and every mistake in one run.
