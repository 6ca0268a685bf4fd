//! A site to its plan.
