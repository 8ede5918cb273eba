//! Checkpoints and savepoints outside the process: the store, its log of slots, manifests, files.
