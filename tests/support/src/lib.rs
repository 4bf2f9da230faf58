//! Real databases, real processes and a signing client for tests.
