// The fixtures in Go. A module of its own, beside those in Rust; cargo xtask guests builds them.
module github.com/tidewheel/tidewheel/tests/guests

go 1.25

require github.com/tidewheel/tidewheel/sdk/go v0.1.0

// The SDK of this repository.
replace github.com/tidewheel/tidewheel/sdk/go => ../../../sdk/go
