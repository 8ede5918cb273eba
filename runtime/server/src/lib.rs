//! The control plane: the API by which a running job is spoken to.
