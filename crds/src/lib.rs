//! The SageApi resource.
