//! Every artefact of the plan into the content store, verified while it streams.
