//! The processes of a job: supervised, connected, each sure of its peers.
